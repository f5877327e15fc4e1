"""The identities of ER-PRM, comparisons in whole numbers, and every rule against a slow one that takes step by step."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate import RULES, label, label_arrays
from genprm.curate.rules import entropy, exact, hard, rpe_ratio, soft
from genprm.errors import InputError
from tests.curate.worlds import Problem, Solved, chain, counts, pairs, patiently, worlds

SHARES = np.array([c / n for n in (1, 2, 3, 7, 16, 128, 2048) for c in range(n + 1)])
INNER = SHARES[(SHARES > 0) & (SHARES < 1)]
etas = st.floats(-1e6, 1e6) | st.floats(-20, 20) | st.sampled_from([1e-300, -1e-12, 1e-9, 709.9, 1e300, -1e300])
ROUNDING = 1e-12


@patiently
@given(etas.filter(lambda eta: eta > 0))
def test_the_entropy_label_lies_between_soft_and_hard(eta: float) -> None:
    found = entropy(SHARES, eta)
    assert np.all(found >= SHARES)
    assert np.all(found <= (SHARES > 0))


@patiently
@given(etas.filter(lambda eta: eta < 0))
def test_for_negative_eta_it_lies_between_all_correct_and_soft(eta: float) -> None:
    found = entropy(SHARES, eta)
    assert np.all((SHARES == 1) <= found)
    assert np.all(found <= SHARES)


@patiently
@given(etas)
def test_none_and_all_correct_are_fixed_points_exactly(eta: float) -> None:
    assert entropy(np.array([0.0, 1.0]), eta).tolist() == [0.0, 1.0]


@patiently
@given(etas)
def test_it_rises_with_p(eta: float) -> None:
    assert np.all(np.diff(entropy(np.unique(SHARES), eta)) >= -ROUNDING)


@patiently
@given(etas, etas)
def test_it_rises_with_eta(first: float, second: float) -> None:
    assert np.all(entropy(SHARES, min(first, second)) <= entropy(SHARES, max(first, second)) + ROUNDING)


@pytest.mark.parametrize("eta", [-15.0, -5.0, -0.5, 0.5, 5.0, 15.0])
def test_it_rises_strictly_where_p_is_neither_0_nor_1(eta: float) -> None:
    assert np.all(entropy(INNER, eta) < entropy(INNER, eta + 0.1))
    assert np.all(np.diff(entropy(np.unique(SHARES), eta)) > 0)


def test_its_limits_are_soft_hard_and_all_correct() -> None:
    assert np.array_equal(entropy(SHARES, 0.0), SHARES)
    assert np.array_equal(entropy(SHARES, math.inf), (SHARES > 0).astype(float))
    assert np.array_equal(entropy(SHARES, -math.inf), (SHARES == 1).astype(float))
    for small in (1e-12, -1e-12, 1e-7, -1e-7):
        assert np.allclose(entropy(SHARES, small), SHARES, rtol=0, atol=abs(small))
    assert np.allclose(entropy(SHARES, 1e9), SHARES > 0, rtol=0, atol=1e-7)
    assert np.allclose(entropy(SHARES, -1e9), SHARES == 1, rtol=0, atol=1e-7)


@patiently
@given(etas)
def test_optimism_is_pessimism_seen_from_the_other_side(eta: float) -> None:
    """r(p, eta) = 1 - r(1 - p, -eta): rewards 0 and 1 change places."""
    assert np.allclose(entropy(SHARES, eta), 1 - entropy(1 - SHARES, -eta), rtol=0, atol=1e-11)


@patiently
@given(etas.filter(lambda eta: 1e-3 < abs(eta) < 500))
def test_completions_of_the_optimal_policy_give_the_same_reward_with_the_other_sign(eta: float) -> None:
    """ER-PRM eq. (2): under pi* ~ pi0 e^(eta r) the share of correct ones is p e^eta / (1 - p + p e^eta)."""
    tilted = 1 / (1 + np.exp(-(np.log(INNER / (1 - INNER)) + eta)))
    kept = (tilted > 1e-6) & (tilted < 1 - 1e-6)  # beyond, floats cannot hold the tilted share
    assert np.allclose(entropy(INNER, eta)[kept], entropy(tilted[kept], -eta), rtol=0, atol=1e-8)


@pytest.mark.parametrize("eta", [-30.5, -30.0, -2.0, 0.7, 2.0, 29.9, 30.1, 300.0])
def test_it_is_the_mean_of_exponentials(eta: float) -> None:
    for correct in range(17):
        mean = (16 - correct + correct * math.exp(eta)) / 16
        assert entropy(np.array([correct / 16]), eta)[0] == pytest.approx(math.log(mean) / eta, abs=1e-12)


@pytest.mark.parametrize(
    ("eta", "row"),
    [
        (-5, [0.013, 0.027, 0.057, 0.137, 0.273, 0.535]),
        (-1, [0.040, 0.082, 0.172, 0.380, 0.643, 0.898]),
        (0.1, [0.066, 0.131, 0.260, 0.512, 0.759, 0.940]),
        (1, [0.102, 0.195, 0.357, 0.620, 0.828, 0.960]),
        (2, [0.168, 0.294, 0.477, 0.717, 0.878, 0.972]),
        (5, [0.465, 0.593, 0.727, 0.863, 0.943, 0.987]),
        (10, [0.723, 0.792, 0.861, 0.931, 0.971, 0.994]),
    ],
)
def test_the_computed_table_of_er_prm(eta: float, row: list[float]) -> None:
    assert np.round(entropy(np.array([1, 2, 4, 8, 12, 15]) / 16, eta), 3).tolist() == row


def test_thresholds_are_met_on_paper_where_floats_miss_them() -> None:
    assert 0.7 - 1.0 < -0.3  # the trap
    assert label(chain((8, 8), (7, 10)), "rpe_difference", threshold=-0.3)[0].values == (1, 1)
    assert (2 / 25) / (1 / 10) < 0.8  # and another
    assert label(chain((1, 10), (2, 25)), "rpe_ratio", threshold=0.8)[0].values == (1, 1)
    assert label(chain((1000, 10_000), (799, 10_000)), "rpe_ratio", threshold="4/5")[0].values == (0, 1)


@patiently
@given(pairs(), pairs(), st.integers(1, 2000), st.integers(-1000, 1000))
def test_relative_progress_is_compared_exactly(
    before: tuple[int, int], after: tuple[int, int], ratio: int, difference: int
) -> None:
    one = chain(before, after)
    if before[0] and after[0]:
        p, q = Fraction(*before), Fraction(*after)
        expected = q / p >= Fraction(ratio, 1000), q - p >= Fraction(difference, 1000)
        assert label(one, "rpe_ratio", threshold=ratio / 1000)[0].values[0] == expected[0]
        assert label(one, "rpe_difference", threshold=difference / 1000)[0].values[0] == expected[1]


def test_numbers_beyond_64_bits_are_compared_exactly() -> None:
    big = 3_000_000_000
    fine = "0.3333333333333333"  # just below 1/3, with a denominator of 10**16
    assert hard(np.array([big // 3]), np.array([big]), fine).tolist() == [True]
    assert hard(np.array([big // 3 - 1]), np.array([big]), fine).tolist() == [False]
    one = chain((big, big), (big // 3, big))
    assert rpe_ratio(one.chain(), fine).tolist() == [True, True]
    assert rpe_ratio(one.chain(), "0.3333333334").tolist() == [False, True]


def test_an_eta_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="eta is not a number"):
        entropy(SHARES, math.nan)


def test_thresholds_are_what_their_digits_say() -> None:
    assert (
        exact(0.8) == exact("0.8") == exact("4/5") == exact(Fraction(4, 5)) == exact(np.float64(0.8)) == Fraction(4, 5)
    )
    for nonsense in (math.nan, math.inf, "much", "1/0", True):
        with pytest.raises(InputError, match="must be a finite number"):
            exact(nonsense)


def test_hard_labels_need_one_correct_completion_or_more_than_the_threshold() -> None:
    one = chain((8, 8), (0, 8), (1, 8), (2, 8))
    assert label(one, "hard")[0].values == (0, 1, 1, 1)
    assert label(one, "hard", threshold=0.125)[0].values == (0, 0, 1, 1)


def test_a_label_of_0_with_completions_that_succeed_ends_nothing() -> None:
    assert label(chain((8, 8), (8, 8), (2, 8), (3, 8)), "rpe_ratio")[0].values == (1, 0, 1, 1)
    assert label(chain((8, 8), (8, 8), (2, 8), (3, 8)), "rpe_difference")[0].values == (1, 0, 1, 1)


@pytest.mark.parametrize("rule", ["rpe_ratio", "rpe_difference"])
def test_from_the_first_step_without_success_on_all_is_0(rule: str) -> None:
    assert label(chain((1, 8), (1, 8), (0, 8), (0, 8), (5, 8)), rule)[0].values == (1, 0, 0, 0, 0)
    assert label(chain((1, 8), (0, 8), (0, 8)), rule)[0].values == (0, 0, 0)
    assert label(chain((1, 8), (0, 8), (0, 8)), "hard")[0].values == (0, 0, 1)  # which has no such end


def test_the_end_of_one_solution_is_not_that_of_the_next() -> None:
    two = Problem((4, 8), (Solved(((0, 8), (1, 8)), False), Solved(((8, 8),), True)))
    assert [one.values for one in label(counts([two]), "rpe_ratio")] == [(0, 0, 0), (1, 1)]


def test_the_outcome_label_stands_on_every_step() -> None:
    both = counts([Problem((4, 8), (Solved(((0, 8),), True), Solved(((8, 8),), False)))])
    assert [one.values for one in label(both, "orm")] == [(1, 1), (0, 0)]
    assert label_arrays(both, "orm").first_errors().tolist() == [-1, 0]


def slowly(problem: Problem, solution: Solved, rule: str, parameter: Fraction) -> list[float | None]:
    """The labels as the papers say them, step by step."""
    found: list[float | None] = []
    before, ended = Fraction(*problem.alone), False
    for correct, total in solution.chain:
        p = Fraction(correct, total)
        if rule == "orm":
            found.append(float(solution.right))
        elif rule == "hard":
            found.append(float(p > parameter))
        elif rule == "soft":
            found.append(correct / total)
        elif rule == "entropy":
            found.append(math.log(1 - p + p * math.exp(parameter)) / float(parameter))
        elif not problem.alone[0]:
            found.append(None)
        elif ended or p == 0:
            found.append(0.0)
        else:
            progress = p / before if rule == "rpe_ratio" else p - before
            found.append(float(progress >= parameter))
        ended = ended or p == 0
        before = p
    return found


@pytest.mark.parametrize("rule", RULES)
@patiently
@given(worlds(), st.data())
def test_every_rule_is_the_slow_one(rule: str, world: list[Problem], data: st.DataObject) -> None:
    percents = {"hard": (0, 99), "entropy": (1, 2000), "rpe_ratio": (1, 200), "rpe_difference": (-100, 100)}
    parameter = RULES[rule].parameter
    given_parameters = {}
    if parameter is not None:
        given_parameters[parameter.name] = data.draw(st.integers(*percents[rule])) / 100
    found = label(counts(world), rule, **given_parameters)
    expected = [
        slowly(problem, solution, rule, exact(next(iter(given_parameters.values()), 0)))
        for problem in world
        for solution in problem.solutions
    ]
    assert [list(one.values) for one in found] == [pytest.approx(values, abs=1e-12) for values in expected]
    assert [list(one.counts) for one in found] == [s.chain for problem in world for s in problem.solutions]


def test_soft_is_unknown_where_nothing_was_sampled() -> None:
    assert np.array_equal(soft(np.array([0, 1]), np.array([0, 4])), [np.nan, 0.25], equal_nan=True)
