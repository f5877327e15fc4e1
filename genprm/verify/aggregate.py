"""Votes to one verdict. Pure; nothing unknown ever becomes a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from genprm.types import Scores, Solution, StepStatus, StepVerdict, Verification, Vote

VoteRule = Literal["mean", "majority"]
VOTE_RULES: tuple[VoteRule, ...] = ("mean", "majority")
THRESHOLD = 0.5
"""Rewards below it say No; exactly 0.5 says Yes."""


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


def predicted_label(rewards: Sequence[float | None]) -> int | None:
    """First step whose reward is below 0.5, else -1; ``None`` if a step without reward comes before that."""
    for index, reward in enumerate(rewards):
        if reward is None:
            return None
        if reward < THRESHOLD:
            return index
    return -1


def scores(rewards: Sequence[float | None]) -> Scores:
    """A solution's score under each aggregation; all ``None`` if any step has no reward."""
    known = [reward for reward in rewards if reward is not None]
    if not known or len(known) < len(rewards):
        return Scores(None, None, None, None)
    return Scores(min=min(known), mean=math.fsum(known) / len(known), product=math.prod(known), last=known[-1])


def values(column: Sequence[StepVerdict], vote_rule: VoteRule) -> list[float]:
    """What the votes that judged a step say of it, between 0 and 1."""
    judged = [step for step in column if step.status == "judged"]
    if vote_rule == "majority":
        return [float(step.judgement == "Yes") for step in judged]
    return [step.reward for step in judged if step.reward is not None]


def _reward(said: Sequence[float]) -> float | None:
    # fsum: the exact sum, so the result does not depend on the order of the votes.
    return math.fsum(said) / len(said) if said else None


def _status(column: Sequence[StepVerdict]) -> StepStatus:
    found = {step.status for step in column}
    return "judged" if "judged" in found else "failed" if "failed" in found else "not_run"
