"""Votes to one verdict. Pure; nothing unknown ever becomes a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from genprm.types import Scores, Solution, StepStatus, StepVerdict, Verification, Vote
from genprm.verdicts import VoteRule, predicted_label, values


def aggregate(solution: Solution, votes: Sequence[Vote], vote_rule: VoteRule = "mean") -> Verification:
    """All votes on one solution, in the order of their index.

    A step's reward is the mean over the votes that judged it: of their rewards (``mean``) or of their verdicts,
    Yes counting 1 and No 0 (``majority``). It is ``None`` where no vote judged the step.
    """
    ordered = tuple(sorted(votes, key=lambda vote: vote.vote))
    columns = [[vote.steps[step] for vote in ordered] for step in range(len(solution.steps))]
    rewards = tuple(_reward(values(column, vote_rule)) for column in columns)
    return Verification(
        id=solution.id,
        rewards=rewards,
        status=tuple(_status(column) for column in columns),
        predicted_label=predicted_label(rewards),
        score=scores(rewards),
        settled="all",
        votes=ordered,
        failures=Counter(step.failure for vote in ordered for step in vote.steps if step.failure is not None),
    )


def scores(rewards: Sequence[float | None]) -> Scores:
    """A solution's score under each aggregation; all ``None`` if any step has no reward."""
    known = [reward for reward in rewards if reward is not None]
    if not known or len(known) < len(rewards):
        return Scores(None, None, None, None)
    return Scores(min=min(known), mean=math.fsum(known) / len(known), product=math.prod(known), last=known[-1])


def _reward(said: Sequence[float]) -> float | None:
    # fsum: the exact sum, so the result does not depend on the order of the votes.
    return math.fsum(said) / len(said) if said else None


def _status(column: Sequence[StepVerdict]) -> StepStatus:
    found = {step.status for step in column}
    return "judged" if "judged" in found else "failed" if "failed" in found else "not_run"
