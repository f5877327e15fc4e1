"""What the host sees of a sandbox: its processes, our own memory, and the listeners that nothing inside may reach."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process, told from later ones of the same number by when it was started."""

    pid: int
    started: int


class _Row(NamedTuple):
    process: Process
    parent: int


def below(roots: Iterable[int]) -> frozenset[Process]:
    """The living processes at and below these, by a look at all processes: not by the supervisor's own method."""
    rows = list(_table())
    found = set(roots)
    while more := {row.process.pid for row in rows if row.parent in found} - found:
        found |= more
    return frozenset(row.process for row in rows if row.process.pid in found)


def of_containers(ids: Iterable[str]) -> frozenset[Process]:
    """The living processes in the control groups of these containers. None if the engine runs on another machine."""
    names = [name[:12] for name in ids]
    found = []
    for row in _table():
        with contextlib.suppress(OSError):
            group = Path(f"/proc/{row.process.pid}/cgroup").read_text()
            if any(name in group for name in names):
                found.append(row.process)
    return frozenset(found)


def alive(process: Process) -> bool:
    """Whether it runs."""
    row = _row(process.pid)
    return row is not None and row.process == process


def _table() -> Iterator[_Row]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (row := _row(int(entry.name))):
            yield row


def _row(pid: int) -> _Row | None:
    """The process of that number, unless it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else _Row(Process(pid, int(fields[19])), int(fields[1]))


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Servers on the host, of each kind that code may try to reach."""

    tcp: tuple[socket.socket, ...]
    udp: tuple[socket.socket, ...]
    path: str
    abstract: str

    def fill(self, source: str) -> str:
        """The source of an attack with the addresses of these listeners."""
        port = str(self.tcp[0].getsockname()[1])
        known = {"PORT": port, "ADDRESSES": " ".join(_addresses()), "SOCKET": self.path, "ABSTRACT": self.abstract}
        for name, value in known.items():
            source = source.replace(f"@{name}@", value)
        return source

    def reached(self) -> list[str]:
        """What came through since the last call."""
        calls = []
        for listener in self.tcp:
            with contextlib.suppress(BlockingIOError):
                connection, peer = listener.accept()
                connection.close()
                calls.append(f"a connection from {peer or listener.getsockname()!r}")
        for listener in self.udp:
            with contextlib.suppress(BlockingIOError):
                calls.append(f"a packet from {listener.recvfrom(64)[1]}")
        return calls


@contextlib.contextmanager
def listening() -> Iterator[Listeners]:
    """Open the listeners, reachable for every process of this machine."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="genprm-listeners-"))
        Path(folder).chmod(0o755)
        path, abstract = f"{folder}/socket", f"genprm-{secrets.token_hex(8)}"
        tcp = [stack.enter_context(socket.socket()) for _ in range(1)]
        tcp[0].bind(("0.0.0.0", 0))
        udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        udp.bind(("0.0.0.0", tcp[0].getsockname()[1]))
        for name in (path, "\0" + abstract):
            tcp.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
            tcp[-1].bind(name)
        Path(path).chmod(0o777)
        for listener in tcp:
            listener.listen()
        for listener in (*tcp, udp):
            listener.setblocking(False)
        yield Listeners(tuple(tcp), (udp,), path, abstract)


def _addresses() -> list[str]:
    """Our own addresses, loopback first."""
    found = ["127.0.0.1", "::1"]
    with socket.socket(type=socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only picks the address that we would send from
        found.append(probe.getsockname()[0])
    return found
