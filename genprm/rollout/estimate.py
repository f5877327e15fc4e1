"""What a rollout would cost at most, before anything is loaded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from genprm.rollout.completer import Settings
from genprm.rollout.job import Plan
from genprm.rollout.problems import Given

STEPS = 8
"""Steps of a solution that is not there yet, as an assumption: GenPRM's solutions of MATH have about so many."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Numbers of a dry run. ``solutions`` and ``prefixes`` are exact where solutions were given."""

    samples_least: int
    samples_most: int
    solutions: int
    prefixes: int
    """That are completed: neither problems alone nor last steps."""
    completions_least: int
    completions_most: int
    max_tokens: int

    @property
    def tokens_most(self) -> int:
        """If every sample and completion used its budget up."""
        return (self.samples_most + self.completions_most) * self.max_tokens


def estimate(given: Given, plan: Plan, settings: Settings) -> Estimate:
    """The plan in numbers."""
    problems, amounts = len(given.problems), plan.amounts
    if given.solutions is None:
        least, most = problems * plan.budget.initial, problems * plan.budget.most
        solutions = problems * plan.budget.keep
        prefixes = solutions * (STEPS - 1)
    else:
        least = most = 0
        solutions = len(given.solutions)
        prefixes = sum(len(solution.steps) - 1 for solution in given.solutions)
    low, high = sorted((amounts.hard, amounts.medium, amounts.easy))[::2]
    alone = problems * amounts.of_problem
    return Estimate(
        least, most, solutions, prefixes, alone + prefixes * (1 if plan.rule else low), alone + prefixes * high,
        settings.max_tokens,
    )  # fmt: skip
