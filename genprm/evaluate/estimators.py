"""Best-of-N, pass@N and votes for every N' <= N from one set of n samples of a problem, as expectations. Pure.

Every figure of N' is the mean over all C(n, N') subsets of the samples: unbiased, whatever n. Shapes: ``scores``,
``correct``, ``answers``: (problems, n); ``sizes``: the numbers N', each at most n; results (problems, sizes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from genprm.evaluate.statistics import Floats, Ints

_BITS = 40


def pass_at(correct: Floats, sizes: Sequence[int]) -> Floats:
    """pass@N' = 1 - C(n - c, N') / C(n, N'), c the number of correct samples."""
    n = correct.shape[1]
    table = np.array([[1 - math.comb(n - c, k) / math.comb(n, k) for k in sizes] for c in range(n + 1)])
    return np.asarray(table[correct.sum(axis=1).round().astype(int)])


def best_of(scores: Floats, values: Floats, sizes: Sequence[int]) -> Floats:
    """The expected value of the best-scored of N' samples, where tied samples are as likely as each other.

    With the samples in falling order of score and v_i the mean value over all samples of sample i's score (0-based):
    sum_i C(n - 1 - i, N' - 1) / C(n, N') v_i. For given members of a tied set that are drawn, the mean over all draws
    is that of the whole set. A NaN score, of a sample that could not be scored, is lower than every number.
    """
    comparable = np.where(np.isnan(scores), -np.inf, rounded(scores))
    order = np.argsort(-comparable, axis=1, kind="stable")
    ordered, of_value = (np.take_along_axis(table, order, axis=1) for table in (comparable, values))
    return tied_means(ordered, of_value) @ first_place(scores.shape[1], sizes)


def tied_means(ordered: Floats, values: Floats) -> Floats:
    """(problems, n): the mean value over the neighbours of equal score, in rows ordered by score."""
    starts = np.ones(ordered.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    level = starts.ravel().cumsum() - 1
    means = np.bincount(level, weights=values.ravel()) / np.bincount(level)
    return np.asarray(means[level].reshape(values.shape))


def first_place(n: int, sizes: Sequence[int]) -> Floats:
    """(n, sizes): the chance that the sample at rank i is the highest of N' drawn: C(n - 1 - i, N' - 1) / C(n, N')."""
    return np.array([[math.comb(n - 1 - i, k - 1) / math.comb(n, k) for k in sizes] for i in range(n)])


def rounded(scores: Floats) -> Floats:
    """Scores to 40 bits (12 digits): means and products of the same rewards in another order are the same score."""
    parts, exponents = np.frexp(scores)
    return np.asarray(np.ldexp(np.round(np.ldexp(parts, _BITS)), exponents - _BITS))


def whole_weights(weights: Floats) -> Ints:
    """Weights (problems, samples) of at least 0 as whole numbers, in units of a 10^12th of the problem's largest.

    Their sums are exact, so that equal sums tie in whatever order they were added.
    """
    largest = weights.max(axis=-1, keepdims=True, initial=0.0)
    units: Floats = weights / np.where(largest > 0, largest, 1.0) * 1e12
    return np.round(units).astype(np.int64)
