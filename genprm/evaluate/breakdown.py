"""F1 of groups of solutions: by kind of error, position of the first error, length and generator. Pure.

Solutions without an error have neither a kind nor a position: the F1 of such a group is the harmonic mean of its own
accuracy and of the accuracy on all solutions without an error. Groups of generators and lengths have both classes of
their own. Figures in per cent; intervals resample problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from genprm.evaluate.scored import Scored
from genprm.evaluate.statistics import Bools, Floats, Interval, f1_interval, mean_interval

LENGTHS = (4, 7, 10, 15)
"""Ends of the groups of length, in steps."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group of solutions."""

    name: str
    erroneous: int
    correct: int
    f1: Interval | None
    """``None`` where a class is missing."""
    error_accuracy: Interval | None
    correct_accuracy: Interval | None


def groups(known: Sequence[Scored], hit: Floats, *, seed: int = 0) -> dict[str, tuple[Group, ...]]:
    """The groups of labelled solutions by each dimension that tells some apart. ``hit`` (solutions,): 1 where the
    label was named."""
    wrong = np.array([(one.solution.label or 0) >= 0 for one in known])
    names: dict[str, Callable[[Scored], str | None]] = {
        "kind": _kind,
        "position": _position,
        "length": _length,
        "generator": lambda one: one.solution.generator,
    }
    found = {}
    for dimension, name_of in names.items():
        of_errors = dimension in ("kind", "position")
        named = [
            name_of(one) if is_wrong or not of_errors else None for one, is_wrong in zip(known, wrong, strict=True)
        ]
        present = sorted({name for name in named if name is not None}, key=_order)
        if len(present) < 2:
            continue
        members = [np.array([own == name for own in named]) | (of_errors & ~wrong) for name in present]
        found[dimension] = tuple(
            _group(name, known, hit, wrong, member, seed) for name, member in zip(present, members, strict=True)
        )
    return found


def _group(name: str, known: Sequence[Scored], hit: Floats, wrong: Bools, member: Bools, seed: int) -> Group:
    def accuracy(of: Bools) -> Interval | None:
        places = np.flatnonzero(of)
        own = [known[place].problem for place in places]
        return mean_interval(hit[places], problems=own, seed=seed).times(100) if len(places) else None

    errors, clean = member & wrong, member & ~wrong
    problems = [known[place].problem for place in np.flatnonzero(member)]
    both = errors.any() and clean.any()
    return Group(
        name=name,
        erroneous=int(errors.sum()),
        correct=int(clean.sum()),
        f1=f1_interval(hit[member][:, None], wrong[member], problems=problems, seed=seed).times(100) if both else None,
        error_accuracy=accuracy(errors),
        correct_accuracy=accuracy(clean),
    )


def _kind(one: Scored) -> str | None:
    for field in ("kind", "classification", "error_kind"):
        if isinstance(name := one.solution.extra.get(field), str) and name:
            return name
    return None


def _position(one: Scored) -> str:
    """Which third of the solution the first error is in."""
    return ("first third", "middle third", "last third")[3 * (one.solution.label or 0) // len(one.solution.steps)]


def _length(one: Scored) -> str:
    steps, start = len(one.solution.steps), 1
    for end in LENGTHS:
        if steps <= end:
            return f"{start}–{end} steps"
        start = end + 1
    return f"{start} steps or more"


def _order(name: str) -> tuple[int, str]:
    """Thirds and lengths in their own order, other names by the alphabet."""
    thirds = ("first third", "middle third", "last third")
    if name in thirds:
        return thirds.index(name), name
    number = name.split("–")[0].split(" ")[0]
    return int(number) if number.isdecimal() and len(number) < 10 else 0, name
