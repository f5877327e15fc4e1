"""How far a training has come and what the learning rate is there: by steps, by the clock, or by what ends first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from genprm.train.options.common import ScheduleOptions


class Pace:
    """The share of a training that is done, and the learning rate as a share of its highest.

    With ``max_minutes`` the share follows the clock, so that a training started for an hour ends its schedule at an
    hour on any machine; ``spent_s`` is what earlier runs of it took.
    """

    def __init__(
        self,
        schedule: ScheduleOptions,
        *,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        spent_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedule = schedule
        self._max_steps = max_steps
        self._max_seconds = None if max_minutes is None else max_minutes * 60
        self._clock = clock
        self._spent = spent_s
        self._began: float | None = None

    def begin(self) -> None:
        """Start the clock."""
        self._began = self._clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, those of earlier runs included."""
        return self._spent + (0.0 if self._began is None else self._clock() - self._began)

    def share(self, step: int) -> float:
        """In [0, 1]; 1 is the end."""
        shares = [0.0]
        if self._max_steps is not None:
            shares.append(step / self._max_steps)
        if self._max_seconds is not None:
            shares.append(self.elapsed_s / self._max_seconds)
        return min(1.0, max(shares))

    def factor(self, step: int) -> float:
        """The learning rate at ``step`` as a share of the highest."""
        schedule, share = self._schedule, self.share(step)
        if share < schedule.warmup_share:
            # Never zero: the first step of a training by the clock comes at share 0.
            return max(share / schedule.warmup_share, 0.01)
        left = 1.0
        if schedule.kind == "cosine":
            done = (share - schedule.warmup_share) / (1 - schedule.warmup_share)
            left = 0.5 * (1 + math.cos(math.pi * done))
        elif schedule.kind == "wsd":
            left = min(1.0, (1 - share) / schedule.decay_share)
        return schedule.floor + (1 - schedule.floor) * left
