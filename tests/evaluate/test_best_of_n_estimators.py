"""Best-of-N, pass@N and votes equal a slow count over every subset, ties and missing answers included."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm.evaluate import voting
from genprm.evaluate.estimators import best_of, pass_at, whole_weights
from genprm.evaluate.voting import vote

REWARDS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
"""Few values: rewards saturate, so ties are the norm."""


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[float], list[bool], list[int]]:
    """Rewards, correctness and answers of the samples of one problem; an answer is right or it is not."""
    n = draw(st.integers(1, 7))
    rewards = draw(st.lists(REWARDS, min_size=n, max_size=n))
    answers = draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    right = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    return rewards, [answer >= 0 and right[answer] for answer in answers], answers


def mean(values: Sequence[Fraction | bool]) -> Fraction:
    return Fraction(sum(values)) / len(values)


def over_subsets(n: int, size: int, picked: Callable[[tuple[int, ...]], Fraction]) -> float:
    return float(mean([picked(subset) for subset in itertools.combinations(range(n), size)]))


def winner(rewards: list[float], correct: list[bool], answers: list[int], subset: tuple[int, ...]) -> Fraction:
    sums: dict[int, Fraction] = {}
    for sample in subset:
        if answers[sample] >= 0:
            sums[answers[sample]] = sums.get(answers[sample], Fraction(0)) + Fraction(rewards[sample])
    tied = [answer for answer, total in sums.items() if total == max(sums.values())]
    return mean([correct[answers.index(answer)] for answer in tied]) if tied else Fraction(0)


def one(values: Sequence[float]) -> np.ndarray:
    return np.array([values], dtype=float)


@given(problems())
@settings(deadline=None, max_examples=50)
def test_best_of_n_is_the_mean_over_all_subsets_with_ties_scored_by_their_mean(
    problem: tuple[list[float], list[bool], list[int]],
) -> None:
    rewards, correct, _ = problem
    n = len(rewards)

    def best(subset: tuple[int, ...]) -> Fraction:
        top = max(rewards[sample] for sample in subset)
        return mean([correct[sample] for sample in subset if rewards[sample] == top])

    slow = [over_subsets(n, size, best) for size in range(1, n + 1)]
    assert best_of(one(rewards), one(correct), range(1, n + 1))[0].tolist() == pytest.approx(slow)


@given(problems())
@settings(deadline=None, max_examples=50)
def test_pass_at_n_is_the_share_of_subsets_with_a_right_answer(
    problem: tuple[list[float], list[bool], list[int]],
) -> None:
    _, correct, _ = problem
    n = len(correct)
    slow = [
        over_subsets(n, size, lambda subset: Fraction(any(correct[sample] for sample in subset)))
        for size in range(1, n + 1)
    ]
    assert pass_at(one(correct), range(1, n + 1))[0].tolist() == pytest.approx(slow)


@given(problems())
@settings(deadline=None, max_examples=50)
def test_votes_are_exact_over_all_subsets(problem: tuple[list[float], list[bool], list[int]]) -> None:
    rewards, correct, answers = problem
    n, sizes = len(rewards), range(1, len(rewards) + 1)
    for weights in ([1.0] * n, rewards):
        slow = [over_subsets(n, size, lambda s, w=weights: winner(w, correct, answers, s)) for size in sizes]
        found = vote(np.array([answers]), whole_weights(one(weights)), one(correct), sizes)
        assert found[0].tolist() == pytest.approx(slow)


@given(problems())
@settings(deadline=None, max_examples=25)
def test_drawn_orders_come_near_the_exact_votes(problem: tuple[list[float], list[bool], list[int]]) -> None:
    rewards, correct, answers = problem
    n, sizes = len(rewards), list(range(1, len(rewards) + 1))
    given_ = np.array([answers]), whole_weights(one(rewards)), one(correct)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(n), (voting.SUBSETS, 1)), axis=1)
    drawn = voting._along_orders(*given_, orders, sizes)
    assert drawn[0] == pytest.approx(vote(*given_, sizes)[0], abs=0.06)  # five standard errors at most
    assert drawn[0, -1] == pytest.approx(vote(*given_, sizes)[0, -1])  # all samples: nothing is drawn


def test_more_than_twelve_samples_are_drawn_with_the_problems_apart() -> None:
    rng = np.random.default_rng(1)
    answers = rng.integers(-1, 3, (50, 14))
    right = (answers == 0).astype(float)
    weights = whole_weights(rng.integers(0, 3, (50, 14)) / 2)
    sizes = [1, 5, 14]
    found = vote(answers, weights, right, sizes)
    assert found[:, 0] == pytest.approx(right.mean(axis=1), abs=1e-12)  # single samples need no draw
    assert np.array_equal(found, vote(answers, weights, right, sizes))
    assert not np.array_equal(found, vote(answers, weights, right, sizes, seed=1))


def test_small_weights_decide_as_large_ones_do() -> None:
    """Products over many steps are small; another problem's large ones do not change that."""
    weights = whole_weights(np.array([[1e-20, 2e-20], [0.5, 0.4]]))
    votes = vote(np.array([[0, 1], [0, 1]]), weights, np.array([[1.0, 0.0], [1.0, 0.0]]), [2])
    assert votes[:, 0].tolist() == [0.0, 1.0]


def test_sums_that_are_equal_on_paper_tie() -> None:
    """0.1 + 0.2 against 0.3, which floats tell apart; and a mean taken in another order."""
    votes = vote(np.array([[0, 0, 1]]), whole_weights(one([0.1, 0.2, 0.3])), one([1, 1, 0]), [3])
    assert votes[0, 0] == 0.5
    assert best_of(one([0.1 + 0.2, 0.3]), one([1, 0]), [2])[0, 0] == 0.5


def test_a_sample_without_a_score_is_selected_last() -> None:
    assert best_of(one([np.nan, 0.0, 0.5]), one([1, 0, 0]), [1, 2, 3])[0].tolist() == pytest.approx([1 / 3, 0, 0])
