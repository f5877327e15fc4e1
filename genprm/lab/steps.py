"""Micro-world solutions with the value of every step, to train discriminative reward models on truth.

A step's value is 1 as long as no step so far is wrong, else 0; a solution's outcome is whether its last value is the
answer. ``example(index)`` is a pure function of (seed, index).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from genprm.lab.policy import LARGEST, MOST_STEPS, PolicyCorpus
from genprm.lab.world import Kind, WorldProblem

_ERRORS: tuple[Kind, ...] = ("slip", "operation", "operand", "operand", "skipped")


@dataclass(frozen=True, slots=True)
class TrueSteps:
    """A solution and its truth."""

    problem: WorldProblem
    steps: tuple[str, ...]
    values: tuple[float, ...]
    """One a step."""
    outcome: float
    """1 if the solution ends in the right answer, else 0."""


@dataclass(frozen=True, slots=True)
class StepCorpus:
    """An endless, indexable set of solutions in a policy's manner."""

    seed: int
    most_steps: int = MOST_STEPS
    largest: int = LARGEST
    grow_over: int = 0
    """Over the first so many solutions problems grow from two steps to the most."""
    clean_share: float = 0.4
    """Share of solutions without an error."""

    def example(self, index: int) -> TrueSteps:
        rng = random.Random(f"steps {self.seed} {index}")
        writer = PolicyCorpus(self.seed, self.most_steps, self.largest, self.grow_over)
        made = writer.attempt(index, () if rng.random() < self.clean_share else _ERRORS, rng)
        right = made.label if made.label >= 0 else len(made.steps)
        values = tuple(float(place < right) for place in range(len(made.steps)))
        return TrueSteps(made.problem, made.steps, values, float(made.stated[-1].claimed == made.problem.answer))

    def texts(self, conversations: int) -> Iterator[str]:
        """What the first ``conversations`` solutions say, for a tokenizer."""
        for index in range(conversations):
            made = self.example(index)
            yield from (made.problem.text, *made.steps)
