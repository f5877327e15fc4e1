"""Monte Carlo counts of many solutions as columns: what every label rule reads.

Steps of all solutions lie behind one another (ragged, flat); ``starts`` says where each solution begins. Reading goes
once over the rollouts; everything after that is array work.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genprm.errors import InputError
from genprm.types import Rollout

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_NAMED = 5
"""Offenders that an error names; it counts the rest."""


class Chain(NamedTuple):
    """Every step with the prefix before it; all arrays are (steps,)."""

    correct: Ints
    total: Ints
    before_correct: Ints
    """Of the prefix without the step; of the problem alone (Pass@1 of the completion model) where the step is 0."""
    before_total: Ints
    ended: Bools
    """An earlier step of the solution has MC = 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Correct and all completions after every step of many solutions of many problems. Arrays are read-only."""

    ids: tuple[str, ...]
    """Of the solutions, in the order of their first row."""
    problem_ids: tuple[str, ...]
    problem: Ints
    """(solutions,): place of each solution's problem in ``problem_ids``."""
    starts: Ints
    """(solutions + 1,): the steps of solution i are ``starts[i]:starts[i + 1]``; every solution has at least one."""
    correct: Ints
    """(steps,)"""
    total: Ints
    """(steps,): 1 for the last step, which is not rolled out; 0 where an adaptive sampler had no need to sample."""
    pass_correct: Ints
    """(problems,): of completions from the problem alone."""
    pass_total: Ints
    """(problems,): 0 where nothing was sampled from the problem alone."""
    answer: Ints
    """(solutions,): 1 if the solution's own answer is right, 0 if not, -1 unknown."""
    policy: str
    """The model that completes."""
    rules: frozenset[str] = frozenset()
    """The rules (as ``spell`` writes them) under which sampling stopped early: no other rule may read the counts."""
    shares_only: bool = False
    """Only the ratios correct/total were known: they are exact, the totals say nothing of how many were sampled."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def lengths(self) -> Ints:
        """(solutions,): steps of each."""
        return np.diff(self.starts)

    @property
    def solution(self) -> Ints:
        """(steps,): place of each step's solution in ``ids``."""
        return np.repeat(np.arange(len(self.ids)), self.lengths)

    @property
    def last(self) -> Bools:
        """(steps,): whether a step is the last of its solution."""
        found = np.zeros(len(self.correct), dtype=bool)
        found[self.starts[1:] - 1] = True
        return found

    def by_solution(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """(correct, total) of the problem alone, then after each step, by solution id."""
        pairs = list(zip(self.correct.tolist(), self.total.tolist(), strict=True))
        alone = list(zip(self.pass_correct.tolist(), self.pass_total.tolist(), strict=True))
        bounds, problems = self.starts.tolist(), self.problem.tolist()
        return {
            name: (alone[problem], *pairs[start:end])
            for name, problem, start, end in zip(self.ids, problems, bounds, bounds[1:], strict=False)
        }

    def chain(self) -> Chain:
        """Every step with the prefix before it."""
        first, zero = self.starts[:-1], (self.correct == 0) & (self.total > 0)
        before_correct, before_total = np.roll(self.correct, 1), np.roll(self.total, 1)
        before_correct[first], before_total[first] = self.pass_correct[self.problem], self.pass_total[self.problem]
        zeros_before = np.cumsum(zero) - zero
        ended = zeros_before > zeros_before[first].repeat(self.lengths)
        return Chain(self.correct, self.total, before_correct, before_total, ended)

    @classmethod
    def from_rollouts(cls, rollouts: Iterable[Rollout], *, steps: Mapping[str, int] | None = None) -> Counts:
        """The counts of ``rollouts``, in any order.

        Separate rows of one prefix are added; of a non-empty ``key`` that comes twice only the first row counts. The
        last step states a fact, so its rows must agree and are not added. ``steps`` gives the number of steps of each
        solution id; without it a solution ends at its highest step.

        Raises ``InputError`` where there is no solution, more than one policy, a step missing, an impossible count,
        a solution of two problems, or a prefix without completions that no adaptive rule explains.
        """
        return _build(_read(rollouts), steps)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rollouts as columns. ``solution`` is -1 for rows of a problem alone."""

    ids: tuple[str, ...]
    problem_ids: tuple[str, ...]
    solution: Ints
    problem: Ints
    step: Ints
    correct: Ints
    total: Ints
    adaptive: Bools
    policy: str
    rules: frozenset[str]


def _read(rollouts: Iterable[Rollout]) -> _Rows:
    """The only loop over rows."""
    ids: dict[str, int] = {}
    problem_ids: dict[str, int] = {}
    seen: set[str] = set()
    policies: dict[str, str] = {}
    rules: set[str] = set()
    columns = array("q")
    for row in rollouts:
        if row.key in seen:
            continue
        if row.key:
            seen.add(row.key)
        policies.setdefault(row.policy, row.id)
        if row.rule is not None:
            rules.add(row.rule)
        solution = -1 if row.step < 0 else ids.setdefault(row.id, len(ids))
        problem = problem_ids.setdefault(row.problem_id, len(problem_ids))
        try:
            columns.extend((solution, problem, row.step, row.correct, row.total, row.rule is not None))
        except OverflowError as error:
            raise InputError(f"step {row.step} of '{row.id}' has numbers beyond 64 bits; mend the rollouts") from error
    if len(policies) > 1:
        named = ", ".join(f"'{policy}' ({name})" for policy, name in islice(policies.items(), _NAMED))
        raise InputError(
            f"the rollouts come from {len(policies)} policies: {named}; shares of different models cannot be compared, "
            "so give the rollouts of one"
        )
    if not ids:
        raise InputError("there are no rollouts of solutions; sample completions first")
    table = np.frombuffer(columns, dtype=np.int64).reshape(-1, 6)
    solution_row, problem_row, step, correct, total, adaptive = np.ascontiguousarray(table.T)
    return _Rows(
        tuple(ids), tuple(problem_ids), solution_row, problem_row, step, correct, total, adaptive.astype(bool),
        next(iter(policies)), frozenset(rules),
    )  # fmt: skip


def _build(rows: _Rows, steps: Mapping[str, int] | None) -> Counts:
    _check_counts(rows)
    of_problem = rows.step < 0
    pass_correct, pass_total = (
        _sums(rows.problem[of_problem], column[of_problem], len(rows.problem_ids))
        for column in (rows.correct, rows.total)
    )
    solution, step = rows.solution[~of_problem], rows.step[~of_problem]
    starts = _starts(rows, solution, step, steps)
    place = starts[solution] + step
    correct, total = (_sums(place, column[~of_problem], int(starts[-1])) for column in (rows.correct, rows.total))
    _check_missing(rows, starts, np.bincount(place, minlength=int(starts[-1])))
    answer = _answers(rows, starts, place, correct, total, rows.total[~of_problem])
    correct[starts[1:] - 1], total[starts[1:] - 1] = answer, 1
    return Counts(
        ids=rows.ids,
        problem_ids=rows.problem_ids,
        problem=_problems(rows, solution, rows.problem[~of_problem]),
        starts=starts,
        correct=correct,
        total=total,
        pass_correct=pass_correct,
        pass_total=pass_total,
        answer=answer,
        policy=rows.policy,
        rules=rows.rules,
    )


def _check_counts(rows: _Rows) -> None:
    impossible = (rows.correct < 0) | (rows.correct > rows.total) | (rows.step < -1)
    if impossible.any():
        row = int(np.flatnonzero(impossible)[0])
        raise InputError(
            f"{_prefix(rows, row)} has {rows.correct[row]} correct of {rows.total[row]} completions, which cannot be; "
            "mend the rollouts"
        )
    empty = (rows.total == 0) & ~rows.adaptive
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise InputError(f"{_prefix(rows, row)} has no completions; sample it again")


def _starts(rows: _Rows, solution: Ints, step: Ints, steps: Mapping[str, int] | None) -> Ints:
    """(solutions + 1,) offsets. Refuses steps beyond the end, and fewer rows than steps."""
    lengths = np.zeros(len(rows.ids), dtype=np.int64)
    np.maximum.at(lengths, solution, step + 1)
    if steps is not None:
        known = set(rows.ids)
        if absent := [name for name in steps if name not in known]:
            raise InputError(f"there are no rollouts of {_some(absent)}; sample them first")
        stated = np.array([steps.get(name, 0) for name in rows.ids], dtype=np.int64)
        if (lengths > stated).any():
            name = rows.ids[int(np.flatnonzero(lengths > stated)[0])]
            raise InputError(
                f"there are rollouts of step {lengths[rows.ids.index(name)] - 1} of '{name}', which has "
                f"{steps.get(name, 0)} steps; give the solutions that were rolled out"
            )
        lengths = stated
    # Before any array of that size is made: a step of 10**12 is a missing step, not an allocation.
    short = np.flatnonzero(np.bincount(solution, minlength=len(rows.ids)) < lengths)
    if len(short):
        held = set(step[solution == short[0]].tolist())
        missing = islice((t for t in range(int(lengths[short[0]])) if t not in held), _NAMED)
        _refuse_missing([f"'{rows.ids[short[0]]}' step {t}" for t in missing], len(short))
    return np.concatenate([[0], np.cumsum(lengths)])


def _check_missing(rows: _Rows, starts: Ints, found: Ints) -> None:
    missing = np.flatnonzero(found == 0)
    if len(missing):
        owners = np.searchsorted(starts, missing, side="right") - 1
        named = [f"'{rows.ids[o]}' step {p - starts[o]}" for p, o in zip(missing[:_NAMED], owners, strict=False)]
        _refuse_missing(named, len(np.unique(owners)))


def _refuse_missing(named: list[str], solutions: int) -> None:
    raise InputError(
        f"the rollouts lack steps of {solutions} solution{'s' * (solutions > 1)}: {', '.join(named)}"
        f"{', ...' if solutions > 1 or len(named) == _NAMED else ''}; finish the rollouts first"
    )


def _answers(rows: _Rows, starts: Ints, place: Ints, correct: Ints, total: Ints, row_total: Ints) -> Ints:
    """(solutions,): whether the answer of each is right, as its last step says."""
    last = starts[1:] - 1
    is_last = np.zeros(int(starts[-1]), dtype=bool)
    is_last[last] = True
    sampled = np.flatnonzero(is_last[place] & (row_total != 1))
    if len(sampled):
        owner = int(np.searchsorted(starts, place[sampled[0]], side="right") - 1)
        raise InputError(
            f"step {last[owner] - starts[owner]} of '{rows.ids[owner]}' is its highest but has {row_total[sampled[0]]} "
            "completions, where the last step has 1 (its own answer); finish the rollouts, or give every step"
        )
    torn = np.flatnonzero((correct[last] > 0) & (correct[last] < total[last]))
    if len(torn):
        raise InputError(
            f"one row says that the answer of '{rows.ids[torn[0]]}' is right and another that it is wrong; "
            "check the last step's rows"
        )
    return (correct[last] > 0).astype(np.int64)


def _problems(rows: _Rows, solution: Ints, problem: Ints) -> Ints:
    found = np.zeros(len(rows.ids), dtype=np.int64)
    found[solution] = problem
    other = np.flatnonzero(found[solution] != problem)
    if len(other):
        name = rows.ids[solution[other[0]]]
        both = sorted({rows.problem_ids[problem[other[0]]], rows.problem_ids[found[solution[other[0]]]]})
        raise InputError(f"'{name}' is a solution of problems {_some(both)}; give each solution its own id")
    return found


def _sums(place: Ints, column: Ints, size: int) -> Ints:
    found = np.zeros(size, dtype=np.int64)
    np.add.at(found, place, column)
    return found


def _prefix(rows: _Rows, row: int) -> str:
    if rows.solution[row] < 0:
        return f"problem '{rows.problem_ids[rows.problem[row]]}'"
    return f"step {rows.step[row]} of '{rows.ids[rows.solution[row]]}'"


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + ", ..." * (len(names) > _NAMED)
