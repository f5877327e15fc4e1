"""The untrusted side of the sandbox: a template process with sympy and numpy imported, and the sessions forked from it.

Started by ``supervisor.py`` as ``python -P template.py CONTROL_FD``; imports nothing of genprm, only the standard
library (and what it preloads). It never holds a byte of any session, so a fork of it gives nothing away.

    control socket (SOCK_SEQPACKET, template <-> supervisor)
        <- {"scratch": folder, "limits": {...}, "uid": number or null} with two descriptors: the session's channel and
           its output pipe; with a uid the session becomes that user, without any capability
        -> process id of the session, 0 if the fork failed
    channel (SOCK_SEQPACKET, session <-> supervisor)
        <- nonce (16 bytes) with one descriptor: a file that holds the cell's source, UTF-8
        -> "ready", once, before the first cell
        -> nonce, "ok" | "error" | "oom", newline, "Type: message"

A session is forked twice and so becomes a child of the supervisor, which alone waits for it and kills it. It is its
own process group and the reaper of its descendants. User code can find the channel and lie on it, but only about
itself: packets without the nonce of the running cell are ignored, and each session has a channel of its own.
"""

from __future__ import annotations

import _socket  # its methods cannot be replaced by user code, those of socket.socket can
import builtins
import ctypes
import fcntl
import gc
import importlib
import json
import os
import random
import resource
import signal
import socket
import sys
from errno import ENOMEM
from io import FileIO, TextIOWrapper
from os import _exit, close, dup2, getpid, kill, read
from signal import ITIMER_REAL, SIGKILL, setitimer
from sys import byteorder, setprofile, settrace
from types import ModuleType
from typing import Any

# The functions below keep these builtins, whatever a cell does to the ones that user code sees.
globals()["__builtins__"] = vars(builtins).copy()

PRELOADED = ("numpy", "sympy")
FILENAME = "<string>"
NONCE_BYTES = 16
READY = b"ready"
CMSG_SPACE = socket.CMSG_SPACE(4)
ERROR_CHARACTERS = 4000
HIGH_FD = 512
"""Our descriptors lie above the session's own limit, out of the way of ``os.closerange``."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
CAPABILITY_VERSION_3 = 0x20080522
prctl = ctypes.CDLL(None).prctl


# --- a session ------------------------------------------------------------------------------------------------------


def become_session(order: dict[str, Any], channel_fd: int, output_fd: int) -> None:
    """Turn this fresh fork into a session and serve its cells. Never returns."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    channel = _socket.socket(fileno=fcntl.fcntl(channel_fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD))
    output = fcntl.fcntl(output_fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    os.closerange(3, HIGH_FD)
    confine(order["limits"])
    if order["uid"] is not None:
        become_user(order["uid"])
    prctl(PR_SET_DUMPABLE, 1)
    os.chdir(order["scratch"])
    os.environ.update(HOME=order["scratch"], TMPDIR=order["scratch"])
    sys.path.insert(0, "")
    channel.send(READY)
    random.seed(0)  # random reseeds itself in a fork; the same code must print the same numbers
    serve_cells(channel, output)


def confine(limits: dict[str, int]) -> None:
    """Set the limits that hold for each process of the session."""
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # if the machine runs out of memory, a session goes first
    except OSError:
        pass  # a hint only; some kernels refuse it


def become_user(uid: int) -> None:
    """Be this user, without groups or capabilities, for good: also programs that it starts gain nothing."""
    os.nice(19)  # counts inside the container only: the supervisor gets its turn however many processes spin
    os.umask(0o077)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    no_capabilities = ctypes.create_string_buffer(24)  # the kernel took them with the id, but for the inheritable ones
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    if ctypes.CDLL(None).capset(header, no_capabilities) or prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError("the kernel does not let go of privileges")


def serve_cells(channel: _socket.socket, output: int) -> None:
    """Run cells in order in one ``__main__`` until the supervisor goes."""
    me = getpid()
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    while True:
        nonce, source = receive_cell(channel)
        prctl(PR_SET_PDEATHSIG, SIGKILL)  # only now is the supervisor surely the parent
        open_streams(output)
        verdict = run_cell(source, main.__dict__)
        if getpid() != me:
            _exit(0)  # a child that the cell forked ran to the end of it too
        channel.send(nonce + verdict)


def receive_cell(channel: _socket.socket) -> tuple[bytes, str]:
    """Wait for the next cell: its nonce and its source."""
    nonce, ancillary, _, _ = channel.recvmsg(NONCE_BYTES, CMSG_SPACE)
    if not nonce:
        _exit(0)
    file = int.from_bytes(ancillary[0][2][:4], byteorder)
    source = b""
    while chunk := read(file, 1 << 20):
        source += chunk
    close(file)
    return nonce, source.decode("utf-8", "surrogatepass")


def open_streams(output: int) -> None:
    """Give the cell fresh standard streams. Unbuffered, as ``python -u``: what was printed is there before any kill."""
    for fd, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        dup2(output, fd)
        raw: Any = FileIO(fd, "w", closefd=False)
        stream = TextIOWrapper(raw, encoding="utf-8", errors=errors, newline="\n", write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run_cell(source: str, namespace: dict[str, Any]) -> bytes:
    """Run one cell as the body of ``__main__``; the verdict as the channel carries it."""
    try:
        try:
            exec(compile_cell(source), namespace)
        finally:  # a trace function of the cell must not see, and break, how it is reported
            settrace(None)
            setprofile(None)
    except SystemExit as stop:
        return b"ok\n" if stop.code in (None, 0) else b"error\n" + describe(stop)
    except BaseException as error:
        out_of_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == ENOMEM)
        return (b"oom\n" if out_of_memory else b"error\n") + describe(error)
    finally:
        settle()
    return b"ok\n"


def compile_cell(source: str) -> Any:
    """Compile as a file of the same text would be; what is no Python text at all is a SyntaxError too."""
    try:
        return compile(source.removeprefix("\ufeff"), FILENAME, "exec", dont_inherit=True)
    except (ValueError, OverflowError) as error:  # NUL characters, lone surrogates
        if isinstance(error, SyntaxError):
            raise
        raise SyntaxError(f"source is not valid Python text ({error})") from None
    except (MemoryError, RecursionError):
        raise SyntaxError("source is nested too deeply") from None


def settle() -> None:
    """Take back what a cell may have left switched on, and flush what it may have put in place of the streams."""
    setitimer(ITIMER_REAL, 0)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue


def describe(error: BaseException) -> bytes:
    """``Type: message`` of an exception whose ``__str__`` may itself fail."""
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:
        text = f"{type(error).__name__}: (message could not be printed)"
    return text[:ERROR_CHARACTERS].encode("utf-8", "backslashreplace")


# --- the template ---------------------------------------------------------------------------------------------------


def fork_session(order: dict[str, Any], fds: list[int]) -> int:
    """Fork a session whose parent will be the supervisor; its process id, or 0."""
    answer, tell = os.pipe()
    try:
        middle = os.fork()
    except OSError:
        os.close(tell)
        os.close(answer)
        return 0
    if middle == 0:
        try:
            if pid := os.fork():
                os.write(tell, str(pid).encode())
                _exit(0)
            become_session(order, *fds)
        finally:
            kill(getpid(), SIGKILL)  # no exit status: those belong to user code
    os.close(tell)
    pid = int(os.read(answer, 32) or 0)
    os.close(answer)
    os.waitpid(middle, 0)  # the session has changed parents before anyone hears of it
    return pid


def preload() -> list[str]:
    """Import what checking code uses, and touch the lazy parts of it, so that no session pays for them."""
    loaded = []
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        loaded.append(name)
    if "numpy" in loaded:
        sys.modules["numpy"].random.seed(0)
    if "sympy" in loaded:
        sympy = sys.modules["sympy"]
        unknown = sympy.Symbol("x")
        sympy.solve(sympy.sympify("x**2 - 1"), unknown)
        sympy.simplify(unknown / unknown + 1)
    return loaded


def main() -> None:
    """Preload, say so, then fork a session per order until the supervisor closes the control socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    prctl(PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loaded = preload()
    gc.collect()
    gc.freeze()  # a collection in a session must not copy the template's pages
    control.send(json.dumps({"preloaded": loaded}).encode())
    while True:
        order, fds, _, _ = socket.recv_fds(control, 65536, 2)
        if not order:
            return
        pid = fork_session(json.loads(order), fds)
        for fd in fds:
            os.close(fd)
        control.send(str(pid).encode())


if __name__ == "__main__":
    main()
