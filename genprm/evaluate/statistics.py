"""Figures with 95 % intervals: percentile bootstrap over problems, seeded, vectorised. Pure.

A unit of resampling is a problem with everything that was measured on it: all its solutions, all their votes, and both
systems of a comparison. A benchmark fixes how many solutions have an error, so units are drawn within strata: problems
whose solutions all have an error, those where none has, those with both. Of a stratum of m units each resample holds
m, drawn with replacement; ends are the 2.5 % and 97.5 % quantiles of the figure over ``RESAMPLES`` resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genprm.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
RESAMPLES = 10_000
Seed = int | tuple[int, ...]
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


@dataclass(frozen=True, slots=True)
class Spread:
    """The same figure of several runs that differ in their sampling seed."""

    mean: float
    std: float
    """Of the runs, with ddof 1."""
    runs: int

    def describe(self, digits: int = 1) -> str:
        return f"{self.mean:.{digits}f} ± {self.std:.{digits}f}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation (ddof 1) over two runs or more."""
    if len(values) < 2:
        raise InputError(f"a standard deviation needs two runs or more; here is {len(values)}")
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


@dataclass(frozen=True, slots=True)
class Units:
    """Which unit of resampling each solution belongs to, and which stratum each unit."""

    of: Ints
    """(solutions,)"""
    stratum: Ints
    """(units,)"""

    def sums(self, values: Floats) -> Floats:
        """(units, columns): the sum of ``values`` (solutions, columns) over each unit."""
        table = np.zeros((len(self.stratum), values.shape[1]))
        np.add.at(table, self.of, values)
        return table

    def draws(self, table: Floats, *, seed: Seed = 0, resamples: int = RESAMPLES) -> Floats:
        """(resamples, columns): the column sums of ``table`` (units, columns) over each resample of the units."""
        total = np.zeros((resamples, table.shape[1]))
        strata = np.unique(self.stratum)
        for stratum, rng in zip(strata, np.random.default_rng(seed).spawn(len(strata)), strict=True):
            total += _resampled(table[self.stratum == stratum], rng, resamples)
        return total


def units(count: int, erroneous: Bools | None = None, problems: Sequence[Hashable] | None = None) -> Units:
    """The units of ``count`` solutions: their problems, or each its own where none are given; one stratum where it is
    not known which are ``erroneous``."""
    names = range(count) if problems is None else problems
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    of = np.array([places[name] for name in names], dtype=np.int64)
    stratum = np.zeros(len(places), dtype=np.int64)
    if erroneous is not None:
        with_error = np.bincount(of, weights=erroneous, minlength=len(places)) > 0
        without = np.bincount(of, weights=~erroneous, minlength=len(places)) > 0
        stratum = with_error + 2 * without
    return Units(of, stratum)


def interval(point: float, draws: NDArray[Any]) -> Interval:
    """A figure and the quantiles of its resamples (resamples,)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(point, float(low), float(high))


def intervals(points: Floats, draws: Floats) -> list[Interval]:
    """Figures (columns,) and the quantiles of their resamples (resamples, columns)."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return [Interval(*ends) for ends in zip(points.tolist(), low.tolist(), high.tolist(), strict=True)]


def ratio(above: Floats, below: Floats) -> Floats:
    """Elementwise quotient; 0 where the divisor is 0."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below != 0)


def f1(erroneous: Floats, correct: Floats) -> Floats:
    """ProcessBench F1, elementwise: the harmonic mean of two accuracies; 0 where both are."""
    return ratio(2 * erroneous * correct, erroneous + correct)


Statistic = Callable[[Floats, Floats], Floats]
"""(accuracies on erroneous, on correct solutions), each (..., columns), to a figure (...,)."""


def mean_f1(erroneous: Floats, correct: Floats) -> Floats:
    """The mean over the last axis (votes) of F1."""
    return np.asarray(f1(erroneous, correct).mean(axis=-1))


def f1_draws(
    hits: Floats, erroneous: Bools, statistic: Statistic = mean_f1, *, problems: Sequence[Hashable] | None = None,
    seed: Seed = 0, resamples: int = RESAMPLES,
) -> tuple[float, Floats]:  # fmt: skip
    """A figure made of the two accuracies of each column of ``hits`` (solutions, columns), and its resamples.

    An accuracy is the sum of the hits over the number of solutions of its class, in each resample.
    """
    _require_both(erroneous)
    one_of, width = erroneous[:, None], hits.shape[1]
    found = units(len(hits), erroneous, problems)
    table = found.sums(np.concatenate([hits * one_of, hits * ~one_of, one_of, ~one_of], axis=1))

    def figure(sums: Floats) -> Floats:
        wrong, right = sums[:, -2:-1], sums[:, -1:]
        return statistic(sums[:, :width] / wrong, sums[:, width:-2] / right)

    return float(figure(table.sum(axis=0)[None])[0]), figure(found.draws(table, seed=seed, resamples=resamples))


def f1_interval(
    hits: Floats, erroneous: Bools, *, problems: Sequence[Hashable] | None = None, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:  # fmt: skip
    """F1 of ``hits`` (solutions, votes): 1 where a vote names the label. Each vote has its F1; the mean is stated."""
    return interval(*f1_draws(hits, erroneous, problems=problems, seed=seed, resamples=resamples))


def f1_difference(
    a: Floats, b: Floats, erroneous: Bools, *, problems: Sequence[Hashable] | None = None, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:  # fmt: skip
    """F1 of ``a`` minus F1 of ``b`` on the same solutions (paired). Either may hold several votes a solution."""
    if len(a) != len(b):
        raise InputError(f"a paired difference needs the same solutions; here are {len(a)} and {len(b)}")
    together, width = np.concatenate([a, b], axis=1), a.shape[1]

    def difference(wrong: Floats, right: Floats) -> Floats:
        first = mean_f1(wrong[..., :width], right[..., :width])
        return np.asarray(first - mean_f1(wrong[..., width:], right[..., width:]))

    return interval(*f1_draws(together, erroneous, difference, problems=problems, seed=seed, resamples=resamples))


def mean_interval(
    values: Floats, *, problems: Sequence[Hashable] | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The mean of ``values`` (solutions,) or (solutions, votes)."""
    if not len(values):
        raise InputError("the mean of no values is not defined; give at least one solution of the group")
    means = values.reshape(len(values), -1).mean(axis=1, keepdims=True)
    return share_interval(means[:, 0], np.ones(len(values)), problems=problems, seed=seed, resamples=resamples)


def share_interval(
    above: Floats, below: Floats, *, problems: Sequence[Hashable] | None = None, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:  # fmt: skip
    """sum(above) / sum(below), each (solutions,), in all solutions and in each resample of their problems."""
    found = units(len(above), None, problems)
    table = found.sums(np.stack([above, below], axis=1))
    sums = found.draws(table, seed=seed, resamples=resamples)
    first, second = table.sum(axis=0)
    return interval(float(ratio(first, second)), ratio(sums[:, 0], sums[:, 1]))


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
    return interval(float(wins.mean()), np.concatenate(draws))


def _require_both(erroneous: Bools) -> None:
    if erroneous.all() or not erroneous.any():
        which = "without" if erroneous.all() else "with"
        raise InputError(f"F1 needs solutions with and without an error; there is none {which}")


def _resampled(table: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """(resamples, columns): column sums of rows drawn with replacement, as many as there are."""
    count, found = len(table), []
    for size in _chunks(resamples, count):
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        found.append(times.astype(float) @ table)
    return np.concatenate(found)


def _chunks(total: int, width: int) -> Iterator[int]:
    largest = max(1, min(500, _CELLS // width))
    for start in range(0, total, largest):
        yield min(largest, total - start)
