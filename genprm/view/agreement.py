"""Where sources name the same first error, and how each stands against a known truth. Pure.

A source is a label rule, a model or people. An index is that of the first wrong step, -1 for none, ``None`` for not
known; what is not known neither agrees nor disagrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

HALF = 0.5
"""A label below it says that the step is wrong; for labels of 0 and 1 that is 0, for graded ones a value below .5."""
Kind = Literal["exact", "clean", "early", "late", "missed", "alarm", "unknown"]


class Source(NamedTuple):
    """Who names a first error."""

    name: str
    settings: str
    """The parameters of a rule, as text."""


Found = Mapping[Source, Mapping[str, int | None]]
"""First errors by source and id of the solution."""


class Pair(NamedTuple):
    """Two sources on the solutions of which both say something."""

    differ: int
    known: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """Solutions of known truth by how the first error of a source compares with it."""

    exact: int = 0
    """The same step."""
    clean: int = 0
    """Neither names a step."""
    early: int = 0
    late: int = 0
    missed: int = 0
    """No step is named, and one is wrong."""
    alarm: int = 0
    """A step is named, and none is wrong."""
    unknown: int = 0

    @property
    def right(self) -> float | None:
        """Share of the solutions of which the source says something where it says the truth."""
        known = self.exact + self.clean + self.early + self.late + self.missed + self.alarm
        return (self.exact + self.clean) / known if known else None


def first_error(values: Sequence[float | None]) -> int | None:
    """The first step with a label below one half, -1 without any; ``None`` where an unknown label comes before."""
    for index, value in enumerate(values):
        if value is None:
            return None
        if value < HALF:
            return index
    return -1


def pairs(found: Found) -> dict[tuple[str, str], Pair]:
    """Each two sources, both ways round."""
    table: dict[tuple[str, str], Pair] = {}
    for (one, mine), (other, theirs) in combinations(found.items(), 2):
        both = [
            (index, theirs[name]) for name, index in mine.items() if index is not None and theirs.get(name) is not None
        ]
        pair = Pair(sum(a != b for a, b in both), len(both))
        table[one.name, other.name] = table[other.name, one.name] = pair
    return table


def confusions(found: Found, truth: Mapping[str, int]) -> dict[str, Confusion]:
    """Every source against the truth; empty without a truth."""
    table: dict[str, Confusion] = {}
    for source, indices in found.items() if truth else ():
        kinds = [kind_of(indices.get(name), label) for name, label in truth.items()]
        table[source.name] = Confusion(**{kind: kinds.count(kind) for kind in set(kinds)})
    return table


def kind_of(index: int | None, truth: int) -> Kind:
    """How an index compares with the true one."""
    if index is None:
        return "unknown"
    if index == truth:
        return "clean" if truth < 0 else "exact"
    if truth < 0:
        return "alarm"
    if index < 0:
        return "missed"
    return "early" if index < truth else "late"


@dataclass(frozen=True, slots=True)
class Kappa:
    """Two annotators on the solutions that both of them annotated."""

    known: int
    same: int
    """Solutions with the same first error, or rightly none for both."""
    differ: Mapping[str, tuple[int, int]]
    """The two indices of each solution where they are not the same."""
    value: float | None
    """Cohen's kappa of the indices, as names of classes: agreement beyond what the two would reach if each drew from
    the indices it uses (Cohen 1960). ``None`` without a common solution, and where chance alone makes them agree."""

    @property
    def share(self) -> float | None:
        return self.same / self.known if self.known else None


def kappa(mine: Mapping[str, int | None], theirs: Mapping[str, int | None]) -> Kappa:
    """First errors of two annotators by id of the solution, held against each other."""
    both = {
        name: (index, other)
        for name, index in mine.items()
        if index is not None and (other := theirs.get(name)) is not None
    }
    known = len(both)
    differ = {name: pair for name, pair in both.items() if pair[0] != pair[1]}
    first, second = (Counter(pair[side] for pair in both.values()) for side in (0, 1))
    by_chance = sum(count * second[index] for index, count in first.items())
    value = None
    if known and by_chance < known * known:
        value = (known * (known - len(differ)) - by_chance) / (known * known - by_chance)
    return Kappa(known, known - len(differ), differ, value)
