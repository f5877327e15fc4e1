"""The attack suite: hostile code as data, the required outcome of each piece, and what runs it. See ``case.Attack``.

Tests and ``genprm sandbox doctor`` run the same list. The numbers are those of the survival table in the README.
"""

from __future__ import annotations

from genprm.execution.attacks import files, memory, network, output, privilege, processes, results, time
from genprm.execution.attacks.case import Attack

__all__ = ["ATTACKS", "Attack"]

ATTACKS: tuple[Attack, ...] = (
    *time.ATTACKS,
    *memory.ATTACKS,
    *processes.ATTACKS,
    *output.ATTACKS,
    *results.ATTACKS,
    *files.ATTACKS,
    *network.ATTACKS,
    *privilege.ATTACKS,
)
