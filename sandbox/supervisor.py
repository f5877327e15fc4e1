"""The trusted side of the sandbox: starts sessions, feeds them cells, drains their output, and kills.

Started once per sandbox as ``python -I supervisor.py SETTINGS``, as a plain subprocess or as process 1 of a container;
imports nothing of genprm, only the standard library and its neighbour ``processes.py``. Linux only.

    owner --stdin--> supervisor --control socket--> template (numpy and sympy imported, see template.py)
          <-stdout--     |  ^                           | forks
                         |  +------ parent of ------ sessions, one process tree per vote
                         +--channel, output pipe--------^

Frames on stdin and stdout: length (4 bytes, big endian), then JSON of that length. Every request has an ``id`` and
gets exactly one reply with that ``id``.

    -> {"id", "op": "cell", "session", "source", "timeout_s"}   the first cell of a session number opens the session
    <- {"id", "status", "stdout", "error", "duration_s", "truncated", "session_lost"}
    -> {"id", "op": "close", "session"}
    <- {"id", "closed": true}
    <- {"id", "unavailable": sentence}                          the machinery failed: not a verdict on the code
    <- {"ready": true, "preloaded": [...]}                      first frame of all

What holds, whatever user code does:

* A reply to a cell comes within its time limit plus a moment, measured here, on the monotonic clock.
* When the reply is out, nothing that the cell started runs any more. A cell that ends in timeout, oom, output_limit,
  crash or exit takes its session along; the reply then says ``session_lost``.
* Memory here is bounded: of each cell's output the head and the tail are kept, the rest is counted and dropped.
* When stdin closes or the owner dies, every process and the scratch folder are gone before the supervisor is.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves our own folder out
from processes import children, is_dead, kill, pause, remove_tree, resident_bytes, tree

TICK_S = 0.05
"""How often time, memory and the owner are looked at while cells run."""
IDLE_TICK_S = 1.0
KILL_WAIT_S = 2.0
"""Longest wait for killed processes to be gone: only one stuck in the kernel takes so long."""
FORK_WAIT_S = 30.0
TEMPLATE_WAIT_S = 120.0
MAX_FRAME = 64 << 20
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36

TEMPLATE_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")},
}
KEPT_ENV = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE")
"""What an interpreter may need to start and to find its packages; the owner decides what these hold."""


class Unavailable(Exception):
    """The machinery failed, not the code."""


@dataclass(frozen=True)
class Settings:
    """What the owner chooses; the JSON object of the command line."""

    scratch: str
    memory_bytes: int = 1 << 30
    """Of a session: private data of each process, and resident memory of all of them together."""
    output_kept: int = 64 << 10
    output_limit: int = 4 << 20
    file_bytes: int = 64 << 20
    open_files: int = 256
    processes: int | None = None
    """RLIMIT_NPROC. Counts all processes of the user id, so it is for a container where sessions have their own."""

    def rlimits(self) -> dict[str, int]:
        limits = {"DATA": self.memory_bytes, "FSIZE": self.file_bytes, "CORE": 0, "NOFILE": self.open_files}
        return limits if self.processes is None else {**limits, "NPROC": self.processes}


# --- parts ----------------------------------------------------------------------------------------------------------


class Output:
    """The head and the tail of what a cell printed, and how much it was."""

    def __init__(self, kept: int) -> None:
        self._half = kept // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 4 * self._half:
            del self._tail[: -self._half]

    def text(self) -> tuple[str, bool]:
        """What was kept, as text, and whether some is missing."""
        tail = self._tail[-self._half :]
        missing = self.total - len(self._head) - len(tail)
        if not missing:
            return (self._head + tail).decode("utf-8", "replace"), False
        gap = f"\n... [{missing} bytes left out] ...\n"
        return self._head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace"), True


@dataclass
class Cell:
    """A cell that runs."""

    request: int
    started: float
    deadline: float
    output: Output
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(16))


@dataclass
class Session:
    """A session: its process, the two ends we hold, and the cell that runs in it."""

    number: int
    pid: int
    channel: socket.socket
    output: int
    scratch: str
    cell: Cell | None = None
    exit_status: int | None = None


class Template:
    """The process that sessions are forked from."""

    def __init__(self) -> None:
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.py")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
        path = f"{os.path.dirname(sys.executable)}:{TEMPLATE_ENV['PATH']}"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", program, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=[theirs.fileno()],
                env={**TEMPLATE_ENV, "PATH": path, **kept},
                cwd="/",
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.reaped = False
        try:
            self.preloaded: list[str] = json.loads(self._answer(TEMPLATE_WAIT_S))["preloaded"]
        except Unavailable:
            kill(self.pid)
            raise

    def fork(self, order: dict[str, Any], fds: list[int]) -> int:
        """Fork a session; its process id. It is our child by then."""
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], fds)
        except OSError as error:
            raise Unavailable(f"the template process is gone ({error})") from error
        if pid := int(self._answer(FORK_WAIT_S)):
            return pid
        raise Unavailable("a session could not be forked: the machine is out of processes or memory")

    def _answer(self, wait_s: float) -> bytes:
        self._control.settimeout(wait_s)
        try:
            answer = self._control.recv(65536)
        except OSError as error:
            raise Unavailable(f"the template process does not answer ({error or type(error).__name__})") from error
        if not answer:
            raise Unavailable("the template process died")
        return answer

    def discard(self) -> None:
        """Kill it, if that is not what happened already. The supervisor's reaping takes the zombie."""
        self._control.close()
        if not self.reaped:
            kill(self.pid)
        self._process.returncode = 0  # reaped elsewhere: Popen must not look for it


# --- the supervisor -------------------------------------------------------------------------------------------------


class Supervisor:
    """One thread, one selector. Every method returns soon; the longest waits are a kill and a fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owner = os.getppid()
        self.sessions: dict[int, Session] = {}
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.stopping = False
        self.next_look = 0.0
        self.selector = selectors.DefaultSelector()
        self.watch_children()
        for fd in (0, 1):
            os.set_blocking(fd, False)
        self.selector.register(0, selectors.EVENT_READ, self.on_input)
        self.template = Template()
        self.reply({"ready": True, "preloaded": self.template.preloaded})

    def watch_children(self) -> None:
        """Make the death of a child wake the selector."""
        self.wakeup, wake = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.selector.register(self.wakeup, selectors.EVENT_READ, self.on_children)

    def run(self) -> None:
        """Serve until the owner goes, then kill everything."""
        try:
            while not self.stopping:
                busy = any(session.cell for session in self.sessions.values())
                for key, _ in self.selector.select(TICK_S if busy else IDLE_TICK_S):
                    key.data()
                self.enforce()
        finally:
            self.shutdown()

    def shutdown(self) -> None:
        for session in list(self.sessions.values()):
            self.end(session)
        self.template.discard()
        self.sweep()
        remove_tree(self.settings.scratch)

    # frames

    def on_input(self) -> None:
        data = os.read(0, 1 << 20)
        self.stopping = self.stopping or not data
        self.inbox += data
        while len(self.inbox) >= 4 and not self.stopping:
            (size,) = struct.unpack_from(">I", self.inbox)
            if size > MAX_FRAME:
                raise ValueError(f"a frame of {size} bytes: the owner does not speak this protocol")
            if len(self.inbox) < 4 + size:
                return
            frame = json.loads(self.inbox[4 : 4 + size])
            del self.inbox[: 4 + size]
            self.handle(frame)

    def handle(self, frame: dict[str, Any]) -> None:
        if frame["op"] == "close":
            if session := self.sessions.get(frame["session"]):
                if session.cell:
                    self.reply({"id": session.cell.request, "unavailable": "the session was closed while a cell ran"})
                self.end(session)
            self.reply({"id": frame["id"], "closed": True})
            return
        try:
            session = self.sessions.get(frame["session"]) or self.open(frame["session"])
            self.start_cell(session, frame)
        except (Unavailable, OSError) as error:  # OSError: descriptors, disk or processes of the machine ran out
            self.reply({"id": frame["id"], "unavailable": str(error)})

    def reply(self, frame: dict[str, Any]) -> None:
        """Queue a frame. The owner may be slow to read; time limits must not wait for it."""
        data = json.dumps(frame).encode()
        if not self.outbox:
            self.selector.register(1, selectors.EVENT_WRITE, self.on_writable)
        self.outbox += struct.pack(">I", len(data)) + data
        self.on_writable()

    def on_writable(self) -> None:
        try:
            del self.outbox[: os.write(1, self.outbox)]
        except BlockingIOError:
            return
        except OSError:  # the owner closed its end
            self.outbox.clear()
            self.stopping = True
        if not self.outbox:
            self.selector.unregister(1)

    # sessions

    def open(self, number: int) -> Session:
        """Fork a new session, with a new template if the old one was lost."""
        scratch = os.path.join(self.settings.scratch, str(number))
        os.makedirs(scratch, 0o700)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output, write_end = os.pipe()
        try:
            with theirs:
                order = {"scratch": scratch, "limits": self.settings.rlimits()}
                pid = self.fork(order, [theirs.fileno(), write_end])
        except Unavailable:
            ours.close()
            os.close(output)
            remove_tree(scratch)
            raise
        finally:
            os.close(write_end)
        for fd in (ours.fileno(), output):
            os.set_blocking(fd, False)
        session = self.sessions[number] = Session(number, pid, ours, output, scratch)
        self.selector.register(ours, selectors.EVENT_READ, lambda: self.on_report(session))
        self.selector.register(output, selectors.EVENT_READ, lambda: self.on_output(session))
        return session

    def fork(self, order: dict[str, Any], fds: list[int]) -> int:
        try:
            return self.template.fork(order, fds)
        except Unavailable:
            self.template.discard()
            self.template = Template()
            return self.template.fork(order, fds)

    def start_cell(self, session: Session, frame: dict[str, Any]) -> None:
        """Hand a cell to its session. The source travels as an open file, so this never waits for user code."""
        os.makedirs(self.settings.scratch, exist_ok=True)  # where nothing isolates it, user code can have removed it
        with tempfile.TemporaryFile(dir=self.settings.scratch) as file:
            file.write(frame["source"].encode("utf-8", "surrogatepass"))
            file.seek(0)
            self.drain(session)
            now = time.monotonic()
            cell = Cell(frame["id"], now, now + frame["timeout_s"], Output(self.settings.output_kept))
            session.cell = cell
            if session.exit_status is not None:  # it died between two cells
                self.finish_dead(session, session.exit_status)
                return
            pause(session.pid, False)
            try:
                socket.send_fds(session.channel, [cell.nonce], [file.fileno()])
            except OSError:  # it closed its channel, or does not read it
                self.finish(session, "crashed", str(int(signal.SIGKILL)), lost=True)

    def on_report(self, session: Session) -> None:
        """Read the session's packets; the one with the nonce ends the cell, all others are user code's scribbles."""
        for _ in range(64):  # then the others get their turn
            if session.number not in self.sessions:
                return
            try:
                packet = session.channel.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.unwatch(session.channel)
                return
            cell = session.cell
            if cell and packet.startswith(cell.nonce):
                verdict, _, error = packet[len(cell.nonce) :].decode("utf-8", "replace").partition("\n")
                lost = verdict not in ("ok", "error")
                self.finish(session, "oom" if lost else verdict, "" if lost else error, lost=lost)

    def on_output(self, session: Session) -> None:
        if session.number not in self.sessions:
            return  # it ended in this very round
        try:
            data = os.read(session.output, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self.unwatch(session.output)
        if session.cell:
            session.cell.output.add(data)
            if session.cell.output.total > self.settings.output_limit:
                self.finish(session, "output_limit", lost=True)

    def drain(self, session: Session) -> None:
        """Read what the pipe holds now, no more: a thread of the session may go on writing for ever."""
        size = struct.unpack("i", fcntl.ioctl(session.output, termios.FIONREAD, b"\0" * 4))[0]
        while size > 0 and (data := os.read(session.output, size)):
            size -= len(data)
            if session.cell:
                session.cell.output.add(data)

    def finish(self, session: Session, status: str, error: str = "", *, lost: bool = False) -> None:
        """End the running cell: kill what it left behind, then reply."""
        cell = session.cell
        if cell is None:
            return
        duration = time.monotonic() - cell.started
        if session.exit_status is None:
            # Threads cannot be killed alone: they stand still until the next cell, whose limits then hold for them.
            pause(session.pid, True)
            self.kill_tree(session.pid, spare_root=not lost)
        self.drain(session)
        session.cell = None
        if lost:
            self.end(session)
        stdout, truncated = cell.output.text()
        self.reply({
            "id": cell.request, "status": status, "stdout": stdout, "error": error,
            "duration_s": duration, "truncated": truncated, "session_lost": lost,
        })  # fmt: skip

    def finish_dead(self, session: Session, exit_status: int) -> None:
        """End the cell of a session whose process is gone: by a signal, or because the code left the interpreter."""
        if os.WIFSIGNALED(exit_status):
            self.finish(session, "crashed", str(os.WTERMSIG(exit_status)), lost=True)
        elif code := os.WEXITSTATUS(exit_status):
            self.finish(session, "error", f"SystemExit: {code}", lost=True)
        else:
            self.finish(session, "ok", lost=True)

    def end(self, session: Session) -> None:
        """Kill the session and remove every trace of it."""
        if session.exit_status is None:
            self.kill_tree(session.pid)
        del self.sessions[session.number]
        self.sweep()
        self.unwatch(session.channel)
        self.unwatch(session.output)
        session.channel.close()
        os.close(session.output)
        remove_tree(session.scratch)

    def unwatch(self, source: socket.socket | int) -> None:
        if source in self.selector.get_map():
            self.selector.unregister(source)

    # killing

    def kill_tree(self, root: int, *, spare_root: bool = False) -> None:
        """Kill a process and its descendants, and wait until they are dead."""
        patience = time.monotonic() + KILL_WAIT_S
        while living := [pid for pid in tree(root)[spare_root:] if not is_dead(pid)]:
            for pid in living:
                kill(pid)
            self.reap()
            if time.monotonic() > patience:
                return
            time.sleep(0.0003)
        self.reap()

    def sweep(self) -> None:
        """Kill what was orphaned to us: whatever a session left behind when it died."""
        patience = time.monotonic() + KILL_WAIT_S
        while time.monotonic() < patience:
            self.reap()
            ours = {self.template.pid, *(one.pid for one in self.sessions.values() if one.exit_status is None)}
            orphans = [pid for pid in children(os.getpid()) if pid not in ours]
            if not orphans:
                return
            for pid in orphans:
                self.kill_tree(pid)

    def reap(self) -> None:
        """Collect our dead children; sessions among them keep their exit status."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.template.pid:
                self.template.reaped = True
            for session in self.sessions.values():
                if session.pid == pid:
                    session.exit_status = status

    def on_children(self) -> None:
        """Some child died: reap, and end the cells whose session is gone."""
        os.read(self.wakeup, 4096)
        self.sweep()
        for session in list(self.sessions.values()):
            if session.exit_status is not None and session.cell:
                self.on_report(session)  # it may have finished its cell before it died
                if session.cell:
                    self.finish_dead(session, session.exit_status)

    def enforce(self) -> None:
        """Look at the clock, at memory and at the owner; once a tick, however busy the sessions keep us."""
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + TICK_S
        for session in list(self.sessions.values()):
            if session.cell and now >= session.cell.deadline:
                self.finish(session, "timeout", lost=True)
            elif session.cell and self.over_memory(session):
                self.finish(session, "oom", lost=True)
        self.stopping = self.stopping or os.getppid() != self.owner

    def over_memory(self, session: Session) -> bool:
        limit = self.settings.memory_bytes
        return resident_bytes(tree(session.pid), limit) > limit


def main() -> None:
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Supervisor(Settings(**json.loads(sys.argv[1]))).run()
    except Unavailable as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
