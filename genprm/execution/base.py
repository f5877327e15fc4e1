"""The sandbox contract: what runs the code that a model wrote. Sandboxes know nothing of rationales.

``genprm.execution.contract`` is the executable form of this contract; every sandbox passes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from genprm.types import ExecutionStatus


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """How one cell ended."""

    status: ExecutionStatus
    stdout: str
    """What it printed (stderr included), kept before an exception or a kill, capped."""
    error: str = ""
    """``Type: message`` for error (``SystemExit: {code}`` for an exit); the signal number for crashed; else empty."""
    duration_s: float = 0.0
    """Wall time in seconds."""
    truncated: bool = False
    """Output was cut at the cap."""
    session_lost: bool = False
    """The session died with this cell (timeout, oom, output_limit, crash, exit): the next cell starts clean."""


class Session(Protocol):
    """The code state of one vote: cells run in order and keep their variables.

    Cells run as the body of ``__main__``, without input. Processes that a cell starts end with it.
    """

    async def run(self, source: str, *, timeout_s: float | None = None) -> ExecutionResult:
        """Run one cell. Forks the session at its first cell. Raises ``SandboxUnavailable``, never returns it.

        Cancelling the call kills the cell and its session; the next cell starts clean.
        """

    async def aclose(self) -> None:
        """Kill everything the session started. Idempotent."""


class Sandbox(Protocol):
    """Gives sessions. Safe for many concurrent calls on one event loop."""

    @property
    def kind(self) -> str: ...

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides what code prints: the kind, and the digest of the image if there is one. Plain values."""

    @property
    def claims(self) -> frozenset[str]:
        """What it isolates; attack cases outside the claims are never started."""

    @property
    def max_sessions(self) -> int:
        """Most sessions that may be open at once; a further one waits."""

    def describe(self) -> str:
        """One line for a person: what runs the code, and what it does not isolate."""

    async def start(self) -> None:
        """Be ready for the first cell, which would do this too. Raises ``SandboxUnavailable`` if code cannot be run."""

    def session(self) -> Session:
        """A new session. Costs nothing until its first cell, which waits while ``max_sessions`` are open."""

    async def aclose(self) -> None:
        """Kill every session and the sandbox. Idempotent."""
