"""What the supervisor knows of a session and of the cell that runs in it."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, field

READY = b"ready"
"""What a session says on its channel before any user code runs in it."""


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
    uid: int | None = None
    """Its own user id, in a container."""
    cell: Cell | None = None
    exit_status: int | None = None
    ready: bool = False
    """It has said that it is set up; before that it cannot be looked into."""
    ticks: int = 0
    """Processor time when its last cell ended."""
    resident: int = 0
    """Bytes of memory at the last look, pages that its processes share counted several times."""
    innocent: bool = False
    """It was killed because another session had filled the container's memory."""
