from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.types import Failure, Judgement, Scores, Solution, StepVerdict, Vote
from genprm.verdicts import VoteRule, predicted_label
from genprm.verify.aggregate import aggregate, scores

Cell = float | Failure | None
"""A reward, a failure, or None for not_run."""


def verdict(cell: Cell) -> StepVerdict:
    if cell is None:
        return StepVerdict("not_run", "direct")
    if isinstance(cell, str):
        return StepVerdict("failed", "direct", failure=cell)
    judgement: Judgement = "Yes" if cell >= 0.5 else "No"
    return StepVerdict("judged", "direct", cell, cell, 1 - cell, judgement)


def votes(*rows: list[Cell]) -> list[Vote]:
    return [Vote(str(index), "a", index, index, tuple(map(verdict, row))) for index, row in enumerate(rows)]


def solution(steps: int) -> Solution:
    return Solution("p", ("s",) * steps, id="a")


def test_a_reward_is_the_mean_over_the_votes_that_judged_the_step() -> None:
    item = aggregate(solution(3), votes([1.0, 0.25, 0.5], [0.5, "budget", None], [0.0, 0.75, "context"]))
    assert item.rewards == (0.5, 0.5, 0.5)
    assert item.status == ("judged", "judged", "judged")
    assert item.predicted_label == -1
    assert item.failures == {"budget": 1, "context": 1}
    assert item.settled == "all"


def test_majority_counts_verdicts() -> None:
    rows = votes([0.9, 0.4], [0.2, 0.4], [0.2, 0.6])
    assert aggregate(solution(2), rows, "majority").rewards == (1 / 3, 1 / 3)


def test_a_step_that_no_vote_judged_has_no_reward_and_spoils_every_score() -> None:
    item = aggregate(solution(3), votes([0.9, "no_judgement", None]))
    assert item.rewards == (0.9, None, None)
    assert item.status == ("judged", "failed", "not_run")
    assert item.score == Scores(None, None, None, None)
    assert item.predicted_label is None


def test_no_votes_say_nothing() -> None:
    item = aggregate(solution(2), [])
    assert (item.rewards, item.status, item.predicted_label) == ((None, None), ("not_run", "not_run"), None)


@pytest.mark.parametrize(
    ("rewards", "label"),
    [
        ((0.5, 0.5), -1),
        ((0.5, 0.4999), 1),
        ((0.1, None), 0),
        ((None, 0.1), None),
        ((0.9, None), None),
    ],
)
def test_the_label_is_the_first_step_below_a_half(rewards: tuple[float | None, ...], label: int | None) -> None:
    assert predicted_label(rewards) == label


def test_scores_follow_their_definitions() -> None:
    assert scores((0.5, 0.25, 1.0)) == Scores(0.25, 1.75 / 3, 0.125, 1.0)


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=9), st.integers())
def test_the_order_of_the_votes_changes_nothing(rows: list[list[Cell]], seed: int) -> None:
    ordered = votes(*rows)
    shuffled = random.Random(seed).sample(ordered, len(ordered))
    rule: VoteRule
    for rule in ("mean", "majority"):
        assert aggregate(solution(2), shuffled, rule) == aggregate(solution(2), ordered, rule)
