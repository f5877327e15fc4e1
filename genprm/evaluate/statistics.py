"""Figures with 95 % intervals: percentile bootstrap over solutions, seeded, vectorised. Pure.

Accuracies are resampled within the two classes (solutions with an error, solutions without), since a benchmark fixes
their numbers. What was measured of one solution stays together: all its votes, and both systems of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genprm.errors import InputError

Floats = NDArray[np.float64]
RESAMPLES = 5000
_CELLS = 4_000_000
"""Numbers held at once while resampling."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval, in the figure's unit."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def describe(self, digits: int = 1) -> str:
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def f1(erroneous: Floats, correct: Floats) -> Floats:
    """ProcessBench F1, elementwise: the harmonic mean of two accuracies; 0 where both are."""
    total = erroneous + correct
    return np.divide(2 * erroneous * correct, total, out=np.zeros_like(total), where=total > 0)


def f1_interval(hits: Floats, erroneous: NDArray[np.bool_], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """F1 of ``hits`` (solutions, votes): 1 where a vote names the label. Each vote has its F1; the mean is stated."""
    _require_both(erroneous)
    point = float(_mean_f1(hits[erroneous].mean(axis=0), hits[~erroneous].mean(axis=0)))
    draws = [_mean_f1(a, b) for a, b in _both(hits, erroneous, seed, resamples)]
    return _interval(point, np.concatenate(draws))


def f1_difference(
    a: Floats, b: Floats, erroneous: NDArray[np.bool_], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """F1 of ``a`` minus F1 of ``b`` on the same solutions (paired). Either may hold several votes a solution."""
    if len(a) != len(b):
        raise InputError(f"a paired difference needs the same solutions; here are {len(a)} and {len(b)}")
    _require_both(erroneous)
    together, width = np.concatenate([a, b], axis=1), a.shape[1]

    def difference(wrong: Floats, right: Floats) -> Floats:
        first = _mean_f1(wrong[..., :width], right[..., :width])
        return np.asarray(first - _mean_f1(wrong[..., width:], right[..., width:]))

    point = float(difference(together[erroneous].mean(axis=0), together[~erroneous].mean(axis=0)))
    draws = [difference(x, y) for x, y in _both(together, erroneous, seed, resamples)]
    return _interval(point, np.concatenate(draws))


def mean_interval(values: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of ``values`` (solutions,) or (solutions, votes)."""
    if not len(values):
        raise InputError("the mean of no values is not defined; give at least one solution of the group")
    table = values.reshape(len(values), -1)
    draws = [means.mean(axis=-1) for means in _resampled(table, np.random.default_rng(seed), resamples)]
    return _interval(float(table.mean()), np.concatenate(draws))


def auroc(scores: Sequence[float], positive: Sequence[bool], *, seed: int = 0, resamples: int = 2000) -> Interval:
    """The chance that a positive scores higher than a negative, ties counting half."""
    values, truth = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    if truth.all() or not truth.any():
        raise InputError(f"an AUROC needs both classes; of {len(truth)} values {int(truth.sum())} are positive")
    above, below = values[truth], values[~truth]
    wins = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    rng = np.random.default_rng(seed)
    draws = []
    for size in _chunks(resamples, len(above) + 2 * len(below)):
        # How often each solution was drawn, instead of its index: the area is then bilinear in the two counts.
        first = rng.multinomial(len(above), np.full(len(above), 1 / len(above)), size)
        second = rng.multinomial(len(below), np.full(len(below), 1 / len(below)), size)
        draws.append(((first @ wins) * second).sum(axis=1) / (len(above) * len(below)))
    return _interval(float(wins.mean()), np.concatenate(draws))


def _mean_f1(erroneous: Floats, correct: Floats) -> Floats:
    """Mean over the last axis (votes)."""
    return np.asarray(f1(erroneous, correct).mean(axis=-1))


def _require_both(erroneous: NDArray[np.bool_]) -> None:
    if erroneous.all() or not erroneous.any():
        which = "without" if erroneous.all() else "with"
        raise InputError(f"F1 needs solutions with and without an error; there is none {which}")


def _both(table: Floats, erroneous: NDArray[np.bool_], seed: int, resamples: int) -> Iterator[tuple[Floats, Floats]]:
    """Resampled column means of the two classes."""
    first, second = np.random.default_rng(seed).spawn(2)
    yield from zip(
        _resampled(table[erroneous], first, resamples), _resampled(table[~erroneous], second, resamples), strict=True
    )


def _resampled(table: Floats, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Column means of resampled rows: chunks of (resamples, columns). Chunks do not depend on the table's size."""
    count = len(table)
    for size in _chunks(resamples, 1):
        weights = rng.multinomial(count, np.full(count, 1 / count), size).astype(float)
        yield weights @ table / count


def _chunks(total: int, width: int) -> Iterator[int]:
    largest = max(1, min(500, _CELLS // width))
    for start in range(0, total, largest):
        yield min(largest, total - start)


def _interval(point: float, draws: NDArray[Any]) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(point, float(low), float(high))
