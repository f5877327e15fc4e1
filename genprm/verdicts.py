"""From what votes say of steps to a label: the one rule behind items, early stops and scaling curves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from genprm.types import StepVerdict

VoteRule = Literal["mean", "majority"]
VOTE_RULES: tuple[VoteRule, ...] = ("mean", "majority")
THRESHOLD = 0.5
"""Rewards below it say No; exactly 0.5 says Yes."""


def said(step: StepVerdict, vote_rule: VoteRule) -> float | None:
    """What a vote says of a step, between 0 and 1: its reward (``mean``), or 1 for Yes and 0 for No (``majority``).

    ``None`` if it does not judge the step.
    """
    if step.status != "judged":
        return None
    return float(step.judgement == "Yes") if vote_rule == "majority" else step.reward


def values(column: Sequence[StepVerdict], vote_rule: VoteRule) -> list[float]:
    """What the votes that judged a step say of it."""
    return [value for step in column if (value := said(step, vote_rule)) is not None]


def predicted_label(rewards: Sequence[float | None], threshold: float = THRESHOLD) -> int | None:
    """First step whose reward is below the threshold, else -1; ``None`` if a step without reward comes before that."""
    for index, reward in enumerate(rewards):
        if reward is None:
            return None
        if reward < threshold:
            return index
    return -1
