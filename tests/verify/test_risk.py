"""The risk-bounded stop: the chances are those of its model, and where the model holds so does the bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.errors import InputError
from genprm.types import Vote
from genprm.verify.aggregate import aggregate
from genprm.verify.risk import PRIOR, chance_of_no, least_more, steps_needed
from genprm.verify.stopping import Stop
from tests.verify.test_aggregate import solution, votes
from tests.verify.test_stopping import run


def by_integral(total: float, count: int, remaining: int) -> float:
    """The same chance, from its definition: over all chances of a Yes, weighted by how well they explain the votes."""
    edges = np.linspace(-1000, 1000, 400_001)  # log-odds: the weight piles up at 0 and 1
    yes, no = -np.logaddexp(0, -edges), -np.logaddexp(0, edges)  # logarithms of p and 1 - p
    weight = np.exp((PRIOR[0] + total) * yes + (PRIOR[1] + count - total) * no)
    few = [k for k in range(remaining + 1) if (total + k) / (count + remaining) < 0.5]
    ways = [float(np.prod([(remaining - i) / (i + 1) for i in range(k)])) for k in few]
    ends_no = sum((way * np.exp(k * yes + (remaining - k) * no) for way, k in zip(ways, few, strict=True)), 0.0)
    return float((weight * ends_no).sum() / weight.sum())


@pytest.mark.parametrize(
    ("total", "count", "remaining"), [(3.0, 3, 5), (0.2, 2, 6), (4.5, 7, 9), (1.0, 2, 1), (0.0, 1, 7)]
)
def test_the_chance_is_that_of_the_model(total: float, count: int, remaining: int) -> None:
    assert chance_of_no(total, count, remaining) == pytest.approx(by_integral(total, count, remaining), abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_when_all_votes_are_in_nothing_is_left_to_chance(said: list[float]) -> None:
    assert chance_of_no(sum(said), len(said), 0) == (sum(said) / len(said) < 0.5)


def test_more_votes_of_one_mind_leave_less_risk_and_are_enough_sooner_than_certainty() -> None:
    chances = [chance_of_no(float(count), count, 8 - count) for count in range(1, 6)]
    assert chances == sorted(chances, reverse=True)
    agreeing = votes(*[[0.99, 0.98]] * 8)
    assert len(run(agreeing, "risk").votes()) < len(run(agreeing, "first-error").votes())
    assert least_more([[], []], 8, 0.01) > least_more([[], []], 8, 0.05) > 0
    assert steps_needed([[0.99] * 3, [0.01] * 3, [0.9] * 3], 5, 0.01) == 2


def test_where_votes_are_drawn_as_the_model_says_labels_change_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(0)
    solutions = 3000

    def drawn() -> list[Vote]:
        chances = rng.beta(*PRIOR, size=3)
        return votes(*(rng.random((8, 3)) < chances).astype(float).tolist())

    changed = taken = 0
    for _ in range(solutions):
        every = drawn()
        course = run(every, "risk")
        taken += len(course.votes())
        changed += course.result().predicted_label != aggregate(solution(3), every).predicted_label
    assert changed / solutions <= Stop("risk").risk
    assert taken / solutions < 4.5


@pytest.mark.parametrize("risk", [0.0, 0.5, -1.0, 2.0])
def test_a_risk_that_is_none_is_refused(risk: float) -> None:
    with pytest.raises(InputError, match="risk is"):
        Stop("risk", risk)
