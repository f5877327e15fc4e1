"""Labels at a confidence: bounds are Clopper-Pearson's, answers agree with the plain rule and err as rarely as told."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate import Counts, label, label_arrays, tree_counts
from genprm.curate.intervals import lower_bounds, upper_bounds
from genprm.curate.trees import Tree
from genprm.errors import InputError
from tests.curate.worlds import Problem, chain, counts, pairs, patiently, worlds

TWO = ("hard", "rpe_ratio", "rpe_difference")


def at_least(correct: int, total: int, p: float) -> float:
    """P(X >= correct), X of ``total`` draws."""
    return sum(math.comb(total, k) * p**k * (1 - p) ** (total - k) for k in range(correct, total + 1))


@patiently
@given(pairs(64), st.floats(0.001, 0.49))
def test_bounds_are_where_the_tail_is_the_risk(pair: tuple[int, int], risk: float) -> None:
    correct, total = np.array([pair[0]]), np.array([pair[1]])
    low, high = float(lower_bounds(correct, total, risk)[0]), float(upper_bounds(correct, total, risk)[0])
    assert low <= pair[0] / pair[1] <= high
    assert low == 0 if pair[0] == 0 else at_least(*pair, low) == pytest.approx(risk, rel=1e-6)
    assert (
        high == 1 if pair[0] == pair[1] else 1 - at_least(pair[0] + 1, pair[1], high) == pytest.approx(risk, rel=1e-6)
    )


def test_bounds_known_from_tables() -> None:
    """95 % two-sided Clopper-Pearson: 0 of 10 and 5 of 10."""
    correct, total = np.array([0, 5, 5]), np.array([10, 10, 10])
    assert upper_bounds(correct, total, 0.025).round(4).tolist() == [0.3085, 0.8129, 0.8129]
    assert lower_bounds(correct, total, 0.025).round(4).tolist() == [0.0, 0.1871, 0.1871]


@pytest.mark.parametrize("rule", TWO)
@patiently
@given(worlds(), st.floats(0.51, 0.999), st.integers(5, 95))
def test_what_is_settled_is_the_plain_label(rule: str, world: list[Problem], confidence: float, bound: int) -> None:
    some = counts(world)
    sure = label_arrays(some, rule, confidence=confidence, threshold=bound / 100).values
    plain = label_arrays(some, rule, threshold=bound / 100).values
    assert np.array_equal(sure[~np.isnan(sure)], plain[~np.isnan(sure)])


@pytest.mark.parametrize("rule", TWO)
@patiently
@given(worlds(), st.floats(0.51, 0.9), st.floats(0.01, 0.09))
def test_more_confidence_settles_no_more(rule: str, world: list[Problem], less: float, more: float) -> None:
    some = counts(world)
    loose, strict = (label_arrays(some, rule, confidence=c).values for c in (less, less + more))
    assert np.all(np.isnan(strict) | (strict == loose))


@pytest.mark.parametrize("rule", TWO)
def test_enough_completions_settle_what_few_cannot(rule: str) -> None:
    few = chain((4, 8), (1, 8), (4, 8), right=False)
    many = chain((4000, 8000), (1000, 8000), (4000, 8000), right=False)
    assert None in label(few, rule, confidence=0.99, threshold=0.2 if rule == "hard" else 0.1)[0].values[:2]
    assert None not in label(many, rule, confidence=0.99, threshold=0.2 if rule == "hard" else 0.1)[0].values


def test_a_hard_0_is_settled_only_against_a_threshold() -> None:
    none = chain((8, 8), (0, 2000), (1, 2000))
    assert label(none, "hard", confidence=0.95)[0].values == (None, 1, 1)
    assert label(none, "hard", confidence=0.95, threshold=0.01)[0].values == (0, 0, 1)
    tiny = label(chain((8, 8), (1, 10**4)), "hard", confidence=1 - 1e-12)
    assert tiny[0].values == (1, 1)


def test_steps_behind_the_end_take_its_answer() -> None:
    sure = chain((60, 64), (60, 64), (0, 64), (0, 64), (3, 64))
    assert label(sure, "rpe_ratio", confidence=0.95)[0].values == (1, 0, 0, 0, 0)
    unsure = chain((60, 64), (2, 64), (0, 64), (0, 64))
    assert label(unsure, "rpe_ratio", confidence=0.95)[0].values == (0, None, None, None)


def test_the_own_answer_of_a_solution_is_known_for_certain() -> None:
    assert label(chain((50, 100), (50, 100), right=True), "rpe_ratio", confidence=0.99)[0].values[1] == 1
    for rule in ("rpe_ratio", "rpe_difference", "hard"):
        assert label(chain((5, 100), (5, 100), right=False), rule, confidence=0.99)[0].values[1] == 0


@pytest.mark.parametrize("rule", TWO)
@pytest.mark.parametrize("truth", [(0.5, 0.38), (0.5, 0.42), (0.9, 0.59), (0.9, 0.61), (0.4, 0.25)])
def test_settled_answers_are_wrong_no_more_often_than_stated(rule: str, truth: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    draws, total, confidence = 3000, 64, 0.8
    before, after = (rng.binomial(total, p, draws) for p in truth)
    ones = np.ones(draws, dtype=np.int64)
    some = Counts(
        ids=tuple(map(str, range(draws))), problem_ids=tuple(map(str, range(draws))), problem=np.arange(draws),
        starts=np.arange(0, 2 * draws + 1, 2), correct=np.stack([after, ones], 1).reshape(-1),
        total=np.stack([total * ones, ones], 1).reshape(-1), pass_correct=before, pass_total=total * ones,
        answer=ones, policy="m",
    )  # fmt: skip
    bound = {"hard": 0.4, "rpe_ratio": 0.8, "rpe_difference": -0.3}[rule]
    p, q = truth
    right = {"hard": q > bound, "rpe_ratio": q / p >= bound, "rpe_difference": q - p >= bound}[rule]
    values = label_arrays(some, rule, confidence=confidence, threshold=bound).values[::2]
    wrong = np.mean(~np.isnan(values) & (values != right))
    assert wrong <= 1 - confidence + 3 * math.sqrt(0.2 * 0.8 / draws)


def test_ratios_without_counts_have_no_confidence() -> None:
    tree = tree_counts([Tree("t", ("q", "qa"), (Fraction(1, 2), Fraction(1, 2)), (-1, 0))])
    with pytest.raises(InputError, match="need the counts of a fixed number of completions, but only ratios are known"):
        label(tree, "hard", confidence=0.95)
