"""Small worlds of counts: what tests state in one line, and what hypothesis draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from genprm.curate import Counts
from genprm.types import Rollout

Pair = tuple[int, int]

# Times say nothing on a shared machine.
patiently = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Solved:
    """A solution: (correct, total) of every step but the last, and whether its own answer is right."""

    steps: tuple[Pair, ...]
    right: bool

    @property
    def chain(self) -> list[Pair]:
        return [*self.steps, (int(self.right), 1)]


@dataclass(frozen=True)
class Problem:
    """Pass@1 of the completion model and the solutions."""

    alone: Pair
    solutions: tuple[Solved, ...]


def row(name: str, step: int, correct: int, total: int, *, problem: str = "p0", **other: object) -> Rollout:
    """A rollout without key, by the policy ``m``, unless ``other`` says so."""
    fields = {"key": "", "policy": "m", "k": total, "invalid": 0, "seed": 0, **other}
    return Rollout(id=name, problem_id=problem, step=step, correct=correct, total=total, **fields)  # type: ignore[arg-type]


def rollouts(world: Sequence[Problem], **other: object) -> list[Rollout]:
    """Problem i is ``p<i>``, its solution j ``p<i>s<j>``."""
    found = []
    for place, problem in enumerate(world):
        name = f"p{place}"
        found.append(row(name, -1, *problem.alone, problem=name))
        for number, solution in enumerate(problem.solutions):
            found += [
                row(f"{name}s{number}", step, *pair, problem=name, **other) for step, pair in enumerate(solution.chain)
            ]
    return found


def counts(world: Sequence[Problem], **other: object) -> Counts:
    return Counts.from_rollouts(rollouts(world, **other))


def chain(alone: Pair, *steps: Pair, right: bool = True, **other: object) -> Counts:
    """One problem with one solution, whose last step comes after ``steps``."""
    return counts([Problem(alone, (Solved(steps, right),))], **other)


def pairs(most: int = 128) -> st.SearchStrategy[Pair]:
    """Counts of 1 to ``most`` completions; none correct a third of the time."""
    some = st.integers(1, most).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
    return some | some | some.map(lambda pair: (0, pair[1]))


def worlds(most: int = 128) -> st.SearchStrategy[list[Problem]]:
    solutions = st.builds(Solved, st.lists(pairs(most), max_size=6).map(tuple), st.booleans())
    return st.lists(
        st.builds(Problem, pairs(most), st.lists(solutions, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=3
    )
