"""Figures agree with what one computes by hand, and intervals cover what they should."""

from __future__ import annotations

import numpy as np
import pytest

from genprm.errors import InputError
from genprm.evaluate.statistics import auroc, f1, f1_difference, f1_interval, mean_interval


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


WRONG = np.array([True, True, True, True, False, False])


def test_f1_is_the_harmonic_mean_and_zero_without_any_hit() -> None:
    assert f1(np.array([0.5, 0.0, 1.0]), np.array([1.0, 0.0, 1.0])).tolist() == [2 / 3, 0.0, 1.0]


def test_f1_interval_by_hand() -> None:
    found = f1_interval(column(1, 1, 1, 0, 1, 0), WRONG)  # 3/4 and 1/2
    assert found.value == pytest.approx(0.6)
    assert 0 <= found.low <= 0.6 <= found.high <= 1


def test_several_votes_give_the_mean_of_their_f1() -> None:
    both = np.concatenate([column(1, 1, 1, 1, 1, 1), column(1, 1, 1, 1, 0, 0)], axis=1)
    assert f1_interval(both, WRONG).value == pytest.approx(0.5)  # 1 and 0


def test_a_system_differs_from_itself_by_nothing() -> None:
    hits = column(1, 0, 1, 0, 1, 0)
    found = f1_difference(hits, hits, WRONG)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairing_makes_a_steady_gain_certain() -> None:
    """Four more hits on the same noisy solutions: the paired interval stays above nothing, unpaired ones overlap."""
    rng = np.random.default_rng(1)
    wrong = np.arange(200) < 100
    base = (rng.random(200) < 0.5).astype(float)
    better = base.copy()
    better[np.flatnonzero(base == 0)[::6]] = 1
    gain = f1_difference(better[:, None], base[:, None], wrong)
    assert gain.low > 0
    assert f1_interval(base[:, None], wrong).high > f1_interval(better[:, None], wrong).low


def test_the_mean_has_an_interval_of_the_normal_width() -> None:
    found = mean_interval(np.array([1.0] * 50 + [0.0] * 50))
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.05, rel=0.1)


def test_auroc_by_hand_ties_count_half() -> None:
    found = auroc([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert found.value == pytest.approx((2 + 0.5 + 1) / 4)
    assert auroc([1, 2, 3, 4], [False, False, True, True]).low == 1


def test_the_same_seed_gives_the_same_interval() -> None:
    hits = column(1, 0, 1, 1, 1, 0)
    assert f1_interval(hits, WRONG, seed=3) == f1_interval(hits, WRONG, seed=3)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InputError, match="there is none without"):
        f1_interval(column(1, 0), np.array([True, True]))
    with pytest.raises(InputError, match="both classes"):
        auroc([0.1, 0.2], [True, True])
    with pytest.raises(InputError, match="same solutions"):
        f1_difference(column(1), column(1, 0), np.array([True, False]))
