"""The trusted side of the sandbox: starts sessions, feeds them cells, drains their output, and kills.

Started once per sandbox as ``python -I supervisor.py SETTINGS``, as a plain subprocess or as process 1 of a container;
imports nothing of genprm, only the standard library and its neighbours in this folder. Linux only.

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
    <- {"id", "unavailable": sentence, "innocent": true}        another session brought the container down on this one
    <- {"ready": true, "preloaded": [...]}                      first frame of all

What holds, whatever user code does:

* A reply to a cell comes within its time limit plus a moment, measured here, on the monotonic clock.
* When the reply is out, nothing that the cell started runs any more. A cell that ends in timeout, oom, output_limit,
  crash or exit takes its session along; the reply then says ``session_lost``.
* Memory here is bounded: of each cell's output the head and the tail are kept, the rest is counted and dropped.
* When stdin closes or the owner dies, every process and the scratch folder are gone before the supervisor is.

In a container (``first_uid`` is set, we are process 1 and uid 0) also: every session is a user of its own, so that none
can signal, trace or read another one or us; what a session holds of the file systems in memory is bounded; a user id
is used again only when its processes, files and System V objects are gone. If the kernel kills for the container's
own memory limit, the session that grew gets ``oom``, and those it hit instead are told that they were innocent.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import math
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import termios
import time
from typing import Any, BinaryIO

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves our own folder out
from footprint import filled, holds_more, memory_limit, oom_kills
from forks import Template, Unavailable
from processes import (
    children,
    is_dead,
    kill,
    pause,
    processor_ticks,
    remove_tree,
    resident_bytes,
    shared_out_bytes,
    tree,
)
from sessions import READY, Cell, Output, Session
from settings import Settings
from users import Users, acting_as, kill_all, stop_all

TICK_S = 0.05
"""How often time, memory and the owner are looked at while cells run."""
IDLE_TICK_S = 0.25
IDLE_TICKS = 3
"""Hundredths of a second of processor time that a session may take to come to a stop after its cell."""
KILL_WAIT_S = 2.0
"""Longest wait for killed processes to be gone: only one stuck in the kernel takes so long."""
MAX_FRAME = 64 << 20
PIPE_BYTES = 64 << 10
"""What a pipe holds."""
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
LOOK_AGAIN_BYTES, LOOK_AGAIN_FILES = 4 << 20, 256
"""Growth of the file systems after which we look again whose it is."""
OOM_WAIT_S = 2.0
"""How long after a kill for memory a killed session is taken for a victim of it: the kernel counts before it kills."""
EXPLAINED = 0.5
"""Share of the container's memory that its sessions must be seen to hold before one of them is blamed."""
INNOCENT = "the container ran out of memory because of another session, and this one was lost with it"


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
        self.end_of_life = time.monotonic() + settings.lifetime_s
        self.users = None if settings.first_uid is None else Users(settings.first_uid, settings.max_sessions)
        self.haunted: list[int] = []
        """User ids of ended sessions some of whose processes were not dead in time."""
        self.oom_kills = oom_kills() if self.users else 0
        self.oom_time = -math.inf
        self.filled = (0, 0)
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
        if not self.outbox:
            return  # a reply of this very round has taken all with it
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
        uid = self.users.take() if self.users else None
        if self.users and uid is None:
            raise Unavailable(f"all {self.settings.max_sessions} user ids of the container are taken")
        try:
            return self.open_as(number, uid)
        except BaseException:
            if uid is not None:
                kill_all(uid)
                self.free(uid, self.sweep())
            raise

    def open_as(self, number: int, uid: int | None) -> Session:
        scratch = os.path.join(self.settings.scratch, str(number))
        os.makedirs(scratch, 0o700)
        if uid is not None:
            os.chown(scratch, uid, uid)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output, write_end = os.pipe()
        if uid is not None:
            os.fchmod(write_end, 0o222)  # the session can open it again, as /dev/stdout, but not to read our copy
        try:
            with theirs:
                order = {"scratch": scratch, "limits": self.settings.rlimits(), "uid": uid}
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
        session = self.sessions[number] = Session(number, pid, ours, output, scratch, uid)
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
        if session.exit_status is not None:
            self.settle_oom()  # its death may be known and the reason not yet
        if session.innocent:
            self.end(session)
            self.reply({"id": frame["id"], "unavailable": INNOCENT, "innocent": True})
            return
        with self.hold(frame["source"].encode("utf-8", "surrogatepass")) as file:
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

    def hold(self, source: bytes) -> BinaryIO:
        """An open file that reads as the source: a pipe that holds all of it if it can, for some session may have
        filled the scratch file system, else a file there."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with open(reader, "rb", buffering=0) as pipe, open(writer, "wb", buffering=0) as end:
            if len(source) <= PIPE_BYTES and end.write(source) == len(source):
                return open(os.dup(pipe.fileno()), "rb", buffering=0)
        os.makedirs(self.settings.scratch, exist_ok=True)  # where nothing isolates it, user code can have removed it
        file = tempfile.TemporaryFile(dir=self.settings.scratch)  # noqa: SIM115 (the caller closes it)
        file.write(source)
        file.seek(0)
        return file

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
            session.ready = session.ready or packet == READY
            cell = session.cell
            if cell and packet.startswith(cell.nonce):
                verdict, _, error = packet[len(cell.nonce) :].decode("utf-8", "replace").partition("\n")
                lost = verdict not in ("ok", "error")
                self.finish(session, "oom" if lost else verdict, error if verdict == "error" else "", lost=lost)

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
        with contextlib.suppress(BlockingIOError):  # someone else has read it
            while size > 0 and (data := os.read(session.output, size)):
                size -= len(data)
                if session.cell:
                    session.cell.output.add(data)

    def finish(self, session: Session, status: str, error: str = "", *, lost: bool = False) -> None:
        """End the running cell: kill what it left behind, the whole session if that forks faster, then reply."""
        cell = session.cell
        if cell is None:
            return
        duration = time.monotonic() - cell.started
        if session.exit_status is None:
            # Threads cannot be killed alone: they stand still until the next cell, whose limits then hold for them.
            pause(session.pid, True)
            if session.uid is not None:
                stop_all(session.uid)  # what forks faster than it is killed must stand still too
            self.sweep()
            lost = lost or not self.kill_tree(session.pid, spare_root=True)
        self.drain(session)
        session.cell = None
        if lost:
            self.end(session)
        else:
            pause(session.pid, True)  # again: our kills and reads can be made to wake it
            session.ticks = processor_ticks(session.pid)
        stdout, truncated = cell.output.text()
        self.reply({
            "id": cell.request, "status": status, "stdout": stdout, "error": error,
            "duration_s": duration, "truncated": truncated, "session_lost": lost,
        })  # fmt: skip

    def finish_dead(self, session: Session, exit_status: int) -> None:
        """End the cell of a session whose process is gone: by a signal, or because the code left the interpreter."""
        if session.innocent and session.cell:
            self.reply({"id": session.cell.request, "unavailable": INNOCENT, "innocent": True})
            self.end(session)
        elif os.WIFSIGNALED(exit_status):
            self.finish(session, "crashed", str(os.WTERMSIG(exit_status)), lost=True)
        elif code := os.WEXITSTATUS(exit_status):
            self.finish(session, "error", f"SystemExit: {code}", lost=True)
        else:
            self.finish(session, "ok", lost=True)

    def end(self, session: Session) -> None:
        """Kill the session and remove every trace of it."""
        if session.uid is not None:
            kill_all(session.uid)
        if session.exit_status is None:
            self.kill_tree(session.pid)
        del self.sessions[session.number]
        all_dead = self.sweep()
        self.unwatch(session.channel)
        self.unwatch(session.output)
        session.channel.close()
        os.close(session.output)
        remove_tree(session.scratch)
        if session.uid is not None:
            self.free(session.uid, all_dead)

    def free(self, uid: int, all_dead: bool) -> None:
        """Give an id back for another session; one whose processes would not die waits until they have."""
        assert self.users is not None
        if all_dead:
            self.users.give_back(uid)
        else:
            self.haunted.append(uid)

    def unwatch(self, source: socket.socket | int) -> None:
        if source in self.selector.get_map():
            self.selector.unregister(source)

    # killing

    def kill_tree(self, root: int, *, spare_root: bool = False, wait_s: float = KILL_WAIT_S) -> bool:
        """Kill a process and its descendants, and wait until they are dead. Whether they are."""
        patience = time.monotonic() + wait_s
        while living := [pid for pid in tree(root)[spare_root:] if not is_dead(pid)]:
            for pid in living:
                kill(pid)
            self.reap()
            if time.monotonic() > patience:
                return False
            time.sleep(0.0003)
        self.reap()
        return True

    def sweep(self, wait_s: float = KILL_WAIT_S) -> bool:
        """Kill what was orphaned to us: whatever a session left behind when it died. Whether nothing of it is left."""
        patience = time.monotonic() + wait_s
        while True:
            self.reap()
            ours = {self.template.pid, *(one.pid for one in self.sessions.values() if one.exit_status is None)}
            orphans = [pid for pid in children(os.getpid()) if pid not in ours]
            if not orphans:
                return True
            for pid in orphans:
                self.kill_tree(pid, wait_s=patience - time.monotonic())
            if time.monotonic() > patience:
                return False

    def reap(self) -> None:
        """Collect our dead children; sessions among them keep their exit status."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.template.pid:
                self.template.reaped = True
            for session in self.sessions.values():
                if session.pid == pid:
                    session.exit_status = status
                    session.resident = max(session.resident, usage.ru_maxrss << 10)

    def on_children(self) -> None:
        """Some child died: reap, and end the cells whose session is gone."""
        os.read(self.wakeup, 4096)
        self.sweep(wait_s=0)
        self.settle_oom()
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
        if self.sweep(wait_s=0) and self.haunted:
            haunted, self.haunted = self.haunted, []
            for uid in haunted:
                kill_all(uid)
                self.free(uid, self.sweep(wait_s=0))
        self.settle_oom()
        grown = self.files_have_grown()
        for session in list(self.sessions.values()):
            if session.cell and now >= session.cell.deadline:
                self.finish(session, "timeout", lost=True)
            elif session.cell and (self.over_memory(session) or (grown and self.over_files(session))):
                self.finish(session, "oom", lost=True)
            elif not session.cell and session.exit_status is None and self.is_awake(session):
                self.kill_idle(session)
        self.stopping = self.stopping or os.getppid() != self.owner or now >= self.end_of_life

    def is_awake(self, session: Session) -> bool:
        """Whether a session between two cells does not stand still, as it was made to: code has ways to be woken."""
        if processor_ticks(session.pid) > session.ticks + IDLE_TICKS:
            return True
        return any(not is_dead(pid) for pid in children(session.pid))

    def kill_idle(self, session: Session) -> None:
        """Kill a session that has no cell. Its next cell is told that it crashed."""
        if session.uid is not None:
            kill_all(session.uid)
        self.kill_tree(session.pid)

    # memory

    def over_memory(self, session: Session) -> bool:
        pids = tree(session.pid)
        session.resident = resident_bytes(pids)
        if session.resident <= self.settings.memory_bytes:
            return False
        with contextlib.nullcontext() if session.uid is None else acting_as(session.uid):
            return shared_out_bytes(pids) > self.settings.memory_bytes

    def files_have_grown(self) -> bool:
        """Whether the file systems hold so much more than at the last look that a session may hold too much."""
        if not self.users:
            return False
        size, files = filled(self.settings.scratch)
        if size <= self.settings.scratch_bytes and files <= self.settings.scratch_files:
            self.filled = (0, 0)
            return False
        if size < self.filled[0] + LOOK_AGAIN_BYTES and files < self.filled[1] + LOOK_AGAIN_FILES:
            return False
        self.filled = size, files
        return True

    def over_files(self, session: Session) -> bool:
        assert session.uid is not None
        if not session.ready:
            return False
        most_bytes, most_files = self.settings.scratch_bytes, self.settings.scratch_files
        return holds_more(session.scratch, tree(session.pid), session.uid, most_bytes, most_files)

    def settle_oom(self) -> None:
        """If the kernel killed for the container's limit: ``oom`` for the session that grew, not for its victims."""
        now = time.monotonic()
        if self.users and oom_kills() != self.oom_kills:
            self.oom_time = now
            running = [session for session in self.sessions.values() if session.cell]
            seen = filled(self.settings.scratch)[0] + sum(one.resident for one in self.sessions.values())
            if running and seen > memory_limit() * EXPLAINED:
                self.finish(max(running, key=lambda session: session.resident), "oom", lost=True)
            else:  # most of it is where we do not see whose it is, as in sockets: nobody gets a verdict for that
                for session in running:
                    self.reply({"id": session.cell.request, "unavailable": INNOCENT, "innocent": True})
                    self.end(session)
            self.oom_kills = oom_kills()  # with those of the same session that came meanwhile
        if now - self.oom_time < OOM_WAIT_S:
            for session in self.sessions.values():
                killed = session.exit_status is not None and os.WIFSIGNALED(session.exit_status)
                session.innocent = session.innocent or (killed and os.WTERMSIG(session.exit_status) == signal.SIGKILL)


def main() -> None:
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)
    settings = Settings(**json.loads(sys.argv[1]))
    if settings.first_uid is not None and os.getuid() != 0:
        sys.exit("the supervisor of a container must be its root user, for sessions get users of their own")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Supervisor(settings).run()
    except Unavailable as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
