"""Where the votes of a run are kept: in memory, or in the file of a run directory, read back when they are needed."""

from __future__ import annotations

from typing import Protocol

from genprm.records import vote_from_dict, vote_to_dict
from genprm.runs.units import UnitFile
from genprm.types import Vote


class VoteStore(Protocol):
    """Votes by key."""

    def __contains__(self, key: object) -> bool: ...

    def __getitem__(self, key: str) -> Vote: ...

    def add(self, vote: Vote) -> None:
        """Keep a vote; it takes the place of one with the same key."""

    def is_cut(self, key: str) -> bool:
        """Whether the vote was ended before its last step without having failed. Cheap."""


def steps_run(vote: Vote) -> int:
    """How far a vote was run. One that failed at a step was run to its end."""
    ran = [step.status for step in vote.steps if step.status != "not_run"]
    return len(vote.steps) if "failed" in ran else len(ran)


class MemoryVotes(dict[str, Vote]):
    """For verifying without a run directory."""

    def add(self, vote: Vote) -> None:
        self[vote.key] = vote

    def is_cut(self, key: str) -> bool:
        return steps_run(self[key]) < len(self[key].steps)


class FileVotes:
    """For a run directory: its file holds the votes, memory only their keys."""

    def __init__(self, units: UnitFile) -> None:
        self._units = units

    def __contains__(self, key: object) -> bool:
        return key in self._units

    def __getitem__(self, key: str) -> Vote:
        return vote_from_dict(self._units[key], source=str(self._units.path))

    def add(self, vote: Vote) -> None:
        self._units.append(vote_to_dict(vote))

    def is_cut(self, key: str) -> bool:
        return self._units.marked(key)


def line_is_cut(line: bytes) -> bool:
    """``is_cut`` of a vote from its line, unparsed: quotes within a text are escaped, so these are fields."""
    return b'{"status": "not_run"' in line and b'{"status": "failed"' not in line
