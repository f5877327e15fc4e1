"""What a page draws: bars, the points of a calibration, and F1 by the number of votes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genprm.evaluate.calibration import Calibration, calibration, known_steps
from genprm.evaluate.processbench import hits, with_error
from genprm.evaluate.scaling import subsets, table_labels
from genprm.evaluate.scored import Predicted
from genprm.evaluate.statistics import Floats, f1

MOST = 20_000
"""Labelled solutions up to which the curve is drawn: beyond, subsampling takes minutes."""


@dataclass(frozen=True, slots=True)
class Score:
    """ProcessBench's figures, all in per cent; ``None`` where a class has no solution."""

    f1: float | None
    error: float | None
    """Exact first errors found, of the solutions with one."""
    correct: float | None
    """Solutions accepted, of those without an error."""


@dataclass(frozen=True, slots=True)
class Curve:
    """F1 of Maj@n in per cent, for n from 1."""

    points: tuple[float, ...]
    seed: int = 0


@dataclass(slots=True)
class Measured:
    """What is known of labelled items, one after another."""

    labels: list[int] = field(default_factory=list)
    predicted: list[Predicted] = field(default_factory=list)
    _rewards: list[float] = field(default_factory=list)
    _right: list[float] = field(default_factory=list)
    _tables: list[Floats] = field(default_factory=list)
    """(votes, steps) of each item; of none once they cannot make a curve."""
    _votes: int | None = None
    _complete: bool = True

    def add(
        self, label: int, predicted: Predicted, rewards: Sequence[float | None],
        table: Sequence[Sequence[float | None]], *, settled: bool,
    ) -> None:  # fmt: skip
        """One item with a label; ``table``: what its votes say of its steps."""
        self.labels.append(label)
        self.predicted.append(predicted)
        for step in known_steps(label, len(rewards)):
            if (reward := rewards[step]) is not None:
                self._rewards.append(reward)
                self._right.append(float(step != label))
        self._complete &= settled and self._votes in (None, len(table)) and len(self.labels) <= MOST
        self._complete &= len({len(row) for row in table}) == 1
        self._votes = len(table)
        if self._complete:
            self._tables.append(np.array(table, dtype=float))  # None: NaN
        else:
            self._tables.clear()

    def calibration(self) -> Calibration | None:
        return calibration(self._rewards, self._right)

    @property
    def score(self) -> Score:
        """Of the verdicts of all votes together."""
        if not self.labels:
            return Score(None, None, None)
        table, wrong = hits([[one] for one in self.predicted], self.labels), with_error(self.labels)
        means = [float(part.mean()) if len(part) else None for part in (table[wrong], table[~wrong])]
        if means[0] is None or means[1] is None:
            return Score(None, *(None if mean is None else 100 * mean for mean in means))
        return Score(100 * float(f1(*np.array(means)[:, None])[0]), 100 * means[0], 100 * means[1])

    def curve(self, seed: int = 0) -> Curve | None:
        """Of a complete run with two votes or more and both classes; each point is the mean over subsets of n votes."""
        wrong = with_error(self.labels)
        if not self._complete or (self._votes or 0) < 2 or wrong.all() or not wrong.any():
            return None
        total, points = self._votes or 0, []
        for size in range(1, total + 1):
            chosen = subsets(total, size, seed)
            found = hits([table_labels(table, chosen) for table in self._tables], self.labels)
            points.append(100 * float(f1(found[wrong].mean(axis=0), found[~wrong].mean(axis=0)).mean()))
        return Curve(tuple(points), seed)
