"""What an attack is: code that tries something, what a sandbox must claim to be attacked so, and how it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast, get_args

from genprm.execution.base import ExecutionResult
from genprm.execution.claims import CLAIMS
from genprm.types import ExecutionStatus

BREACH = "BREACH"
"""What attacking code prints when it got somewhere. It stands in no result of a sandbox that held."""

CANARY = "canary-"
"""How the secret begins that the neighbour holds in memory and in a file. No attack spells it out."""

_STATUSES = frozenset(get_args(ExecutionStatus))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to hurt a sandbox, its host or its other sessions."""

    id: str
    """Family and number: T time, M memory, P processes, O output, R result, F files, N network, V privilege."""
    name: str
    cells: tuple[str, ...]
    """Run in order in one session. ``@PORT@``, ``@ADDRESSES@``, ``@SOCKET@`` and ``@ABSTRACT@`` name listeners that the
    runner opens on the host."""
    ends: frozenset[ExecutionStatus]
    """How the last cell may end."""
    needs: frozenset[str]
    """Claims; a sandbox that lacks one of them is not attacked so."""
    holds: Callable[[ExecutionResult], bool] | None = None
    """What must be true of the last result beyond its status."""
    requires: str = ""
    """The same in words."""
    timeout_s: float = 60.0
    later: str = ""
    """A cell for a fresh session afterwards; it must end ok and find nothing."""

    @property
    def key(self) -> str:
        return f"{self.id}-{self.name}"

    def __post_init__(self) -> None:
        if unknown := self.needs - CLAIMS.keys():
            raise ValueError(f"attack {self.key} needs {sorted(unknown)}, which no sandbox can claim")


def attack(
    key: str,
    ends: str,
    *cells: str,
    needs: str = "",
    holds: Callable[[ExecutionResult], bool] | None = None,
    requires: str = "",
    timeout_s: float = 60.0,
    later: str = "",
) -> Attack:
    """An attack in short notation: ``ID-name``, statuses and claims as words. Each needs the three basic claims."""
    number, _, name = key.partition("-")
    statuses = frozenset(ends.split())
    if unknown := statuses - _STATUSES:
        raise ValueError(f"attack {key} may end {sorted(unknown)}, which is no status")
    return Attack(
        id=number, name=name, cells=cells, ends=cast("frozenset[ExecutionStatus]", statuses),
        needs=frozenset({"time", "state", "descendants", *needs.split()}), holds=holds, requires=requires,
        timeout_s=timeout_s, later=later,
    )  # fmt: skip


def prints(stdout: str) -> Callable[[ExecutionResult], bool]:
    """The result printed exactly this."""
    return lambda result: result.stdout == stdout


def fails(error: str) -> Callable[[ExecutionResult], bool]:
    """The result's error starts so."""
    return lambda result: result.error.startswith(error)
