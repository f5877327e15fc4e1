"""Calibration, against counts made case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.evaluate.calibration import bin_of, calibration, known_steps

CASES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(CASES)
def test_every_prediction_is_in_its_bin_and_both_errors_are_the_slow_ones(cases: list[tuple[float, bool]]) -> None:
    found = calibration([p for p, _ in cases], [float(y) for _, y in cases])
    assert found is not None and found.count == len(cases)
    assert found.brier == pytest.approx(sum((p - y) ** 2 for p, y in cases) / len(cases))
    slow = 0.0
    for place, one in enumerate(found.bins):
        inside = [(p, y) for p, y in cases if bin_of(p) == place]
        assert one.count == len(inside)
        if inside:
            assert one.predicted == pytest.approx(sum(p for p, _ in inside) / len(inside))
            assert one.observed == pytest.approx(sum(y for _, y in inside) / len(inside))
            slow += abs(sum(y for _, y in inside) - sum(p for p, _ in inside)) / len(cases)
    assert found.ece == pytest.approx(slow)


def test_predictions_that_come_true_have_no_error_and_others_than_shares_no_calibration() -> None:
    found = calibration([0.25] * 4 + [1.0] * 3, [1, 0, 0, 0, 1, 1, 1])
    assert found is not None and found.ece == 0 and found.bins[-1].count == 3
    assert calibration([], []) is None and calibration([1.5], [1]) is None


@pytest.mark.parametrize(("label", "known"), [(-1, [0, 1, 2]), (0, [0]), (1, [0, 1]), (2, [0, 1, 2])])
def test_a_label_says_nothing_of_the_steps_behind_it(label: int, known: list[int]) -> None:
    assert list(known_steps(label, 3)) == known
