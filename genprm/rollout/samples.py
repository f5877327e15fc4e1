"""Samples, the solutions that a policy wrote (lines of ``samples.jsonl``), as values and records, and what is ordered.

An order names all that its result depends on besides the worker's terms, so it may be done anywhere and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from genprm.errors import RecordError
from genprm.rollout.amounts import Rule
from genprm.rollout.budget import Outcome
from genprm.types import Problem, Solution


@dataclass(frozen=True, slots=True)
class Sample:
    """One solution that the policy wrote for a problem, graded."""

    key: str
    id: str
    """Of the solution: the problem's id, a slash, the index."""
    problem_id: str
    index: int
    seed: int
    outcome: Outcome
    reason: str | None
    """Why it is invalid: ``unfinished`` (it did not end by itself), ``steps`` (too few), else what the grader says."""
    predicted_answer: str
    steps: tuple[str, ...]
    separator: str
    """What stood between the steps."""
    text: str
    """All of the policy's turn, our opening included."""
    tokens: int
    """Tokens generated."""


@dataclass(frozen=True, slots=True)
class Order:
    """A unit of work to be done."""

    key: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class SampleOrder(Order):
    """A solution to be sampled."""

    index: int


@dataclass(frozen=True, slots=True)
class RefineOrder(Order):
    """A solution to be written once more, as the new solution ``id``: in answer to a request of the user, who has seen
    ``solution``; without a request, from the problem alone."""

    id: str
    index: int
    solution: Solution
    request: str | None


@dataclass(frozen=True, slots=True)
class PrefixOrder(Order):
    """Completions to be sampled from steps 0..step of a solution; without one, from the problem alone (step -1).

    The last step is only graded. ``rule`` may end the sampling before ``k`` completions.
    """

    solution: Solution | None
    step: int
    k: int
    rule: Rule | None = None

    @property
    def is_last(self) -> bool:
        return self.solution is not None and self.step == len(self.solution.steps) - 1

    @property
    def id(self) -> str:
        """Of the solution, or of the problem."""
        return self.problem.id if self.solution is None else self.solution.id


def sample_to_dict(sample: Sample) -> dict[str, Any]:
    """The record of a sample; ``key`` first."""
    return asdict(sample) | {"steps": list(sample.steps)}


def sample_from_dict(record: Mapping[str, Any], *, source: str = "sample") -> Sample:
    """The sample of a record. Raises ``RecordError`` for one that this version did not write."""
    try:
        sample = Sample(**{**record, "steps": tuple(record["steps"])})
    except (KeyError, TypeError) as error:
        raise RecordError(f"is no sample ({error}); take the line out, it is sampled again", source=source) from error
    if sample.outcome not in get_args(Outcome):
        raise RecordError(f"is '{sample.outcome}', no outcome; take the line out", source=source, field="outcome")
    return sample


def solution_of(sample: Sample, problem: Problem, generator: str) -> Solution:
    """The solution record of a valid sample."""
    return Solution(
        problem=problem.problem,
        steps=sample.steps,
        id=sample.id,
        problem_id=problem.id,
        generator=generator,
        answer=problem.answer,
        predicted_answer=sample.predicted_answer,
        final_answer_correct=sample.outcome == "correct",
        extra={"separator": sample.separator},
    )
