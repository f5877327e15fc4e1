"""Calibration of step rewards, against counts made case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.evaluate.calibration import bin_of, calibration, known_steps

STEPS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(STEPS)
def test_every_step_is_in_the_bin_of_its_reward(steps: list[tuple[float, bool]]) -> None:
    found = calibration([reward for reward, _ in steps], [right for _, right in steps])
    assert found is not None and found.steps == len(steps)
    for place, one in enumerate(found.bins):
        inside = [(reward, right) for reward, right in steps if bin_of(reward) == place]
        assert (one.steps, one.right) == (len(inside), sum(right for _, right in inside))
        if inside:
            assert one.mean == pytest.approx(sum(reward for reward, _ in inside) / len(inside))
            assert one.share == sum(right for _, right in inside) / len(inside)


@given(STEPS)
def test_the_error_is_the_mean_distance_of_bins_by_steps(steps: list[tuple[float, bool]]) -> None:
    found = calibration([reward for reward, _ in steps], [right for _, right in steps])
    assert found is not None
    parts = [
        one.steps * abs(one.mean - one.share) for one in found.bins if one.mean is not None and one.share is not None
    ]
    assert found.error == pytest.approx(sum(parts) / len(steps))


def test_rewards_that_are_kept_have_no_error() -> None:
    found = calibration([0.25] * 4 + [1.0] * 3, [True, False, False, False, True, True, True])
    assert found is not None and found.error == 0 and found.bins[-1].steps == 3
    assert calibration([], []) is None


@pytest.mark.parametrize(("label", "known"), [(-1, [0, 1, 2]), (0, [0]), (1, [0, 1]), (2, [0, 1, 2])])
def test_a_label_says_nothing_of_the_steps_behind_it(label: int, known: list[int]) -> None:
    assert list(known_steps(label, 3)) == known
