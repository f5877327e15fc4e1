"""The learning rate follows the share of the training that is done, by steps or by the clock."""

from __future__ import annotations

import pytest

from genprm.train.options.common import ScheduleOptions
from genprm.train.pace import Pace

WSD = ScheduleOptions(kind="wsd", warmup_share=0.1, decay_share=0.5, floor=0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_by_steps_it_warms_up_stays_and_falls() -> None:
    pace = Pace(WSD, max_steps=100)
    assert [round(pace.factor(step), 3) for step in (0, 5, 10, 50, 75, 100)] == [0.01, 0.5, 1, 1, 0.5, 0]


def test_by_the_clock_it_ends_at_the_minute_on_any_machine() -> None:
    clock = Clock()
    pace = Pace(WSD, max_minutes=1, clock=clock)
    assert pace.share(10**6) == 0  # nothing before it begins
    pace.begin()
    clock.now += 45
    assert pace.share(3) == 0.75
    assert pace.factor(3) == pytest.approx(0.5)
    clock.now += 20
    assert pace.share(3) == 1


def test_time_of_earlier_runs_counts() -> None:
    clock = Clock()
    pace = Pace(WSD, max_minutes=1, spent_s=30, clock=clock)
    pace.begin()
    clock.now += 15
    assert pace.elapsed_s == 45
    assert pace.share(0) == 0.75


def test_what_comes_first_ends_it() -> None:
    clock = Clock()
    pace = Pace(WSD, max_steps=10, max_minutes=1, clock=clock)
    pace.begin()
    clock.now += 6
    assert pace.share(9) == 0.9
    assert pace.share(10) == 1


def test_cosine_ends_at_the_floor_and_constant_stays() -> None:
    cosine = Pace(ScheduleOptions(kind="cosine", warmup_share=0, floor=0.1), max_steps=10)
    assert [cosine.factor(step) for step in (0, 5, 10)] == pytest.approx([1, 0.55, 0.1])
    constant = Pace(ScheduleOptions(kind="constant", warmup_share=0), max_steps=10)
    assert constant.factor(10) == 1
