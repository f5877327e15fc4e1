"""Votes of N' samples on the answer, majority or weighted by reward, for every N' <= N. Pure.

Among N' samples an answer has the sum of the weights of the samples that give it (majority: their number); the answer
with the largest sum is taken, each of several with the largest sum being as likely as the others. A sample without an
answer votes for nothing; N' samples without any answer are a miss. The figure of N' is the mean over subsets: over all
of them for n <= ``EXACT`` and for N' = 1, else over ``SUBSETS`` random orders of the samples, whose first N' are a
random subset.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from genprm.evaluate.statistics import Floats, Ints

EXACT = 12
SUBSETS = 2000
_CELLS = 1_000_000
_ORDERED_CELLS = 8_000
"""Numbers held at once; the walk along orders touches them again and again, so they should stay in the cache."""


def vote(answers: Ints, weights: Ints, right: Floats, sizes: Sequence[int], *, seed: int = 0) -> Floats:
    """(problems, sizes): the expected correctness of the answer that N' samples vote for.

    ``answers`` (problems, n): the index of each sample's answer, -1 for none; ``weights`` (problems, n): whole, at
    least 0; ``right`` (problems, n): how right the sample's answer is, the same for all samples of one answer.
    """
    problems, n = answers.shape
    found = np.empty((problems, len(sizes)))
    settled = (answers >= 0).all(axis=1) & (right == right[:, :1]).all(axis=1)
    found[settled] = right[settled, :1]  # whatever the subset, its answer is as right as every other
    open_ = np.flatnonzero(~settled)
    largest = max(1, _ORDERED_CELLS // SUBSETS)
    if n <= EXACT:
        largest = max(1, _CELLS // (2**n * (1 + answers.max(initial=0))))
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(n), (SUBSETS, 1)), axis=1) if n > EXACT else None
    for start in range(0, len(open_), largest):
        rows = open_[start : start + largest]
        if orders is None:
            found[rows] = _over_all_subsets(answers[rows], weights[rows], right[rows], sizes)
        else:
            # Each problem's samples are shuffled first, so that problems do not share their subsets.
            own = rng.permuted(np.tile(np.arange(n), (len(rows), 1)), axis=1)
            of = rows[:, None], own
            found[rows] = _along_orders(answers[of], weights[of], right[of], orders, sizes)
    if 1 in sizes:  # the mean over single samples needs no draws
        found[:, list(sizes).index(1)] = np.where(answers < 0, 0.0, right).mean(axis=1)
    return found


def _over_all_subsets(answers: Ints, weights: Ints, right: Floats, sizes: Sequence[int]) -> Floats:
    n = answers.shape[1]
    gives = (answers[:, :, None] == np.arange(1 + answers.max(initial=0))).astype(float)  # (problems, n, answers)
    rightness = (gives * right[:, :, None]).max(axis=1)
    found = []
    for size in sizes:
        subsets = np.zeros((len(list(itertools.combinations(range(n), size))), n))
        for row, members in enumerate(itertools.combinations(range(n), size)):
            subsets[row, list(members)] = 1
        sums = np.where(
            subsets @ gives > 0, subsets @ (gives * weights[:, :, None]), -1
        )  # (problems, subsets, answers)
        best = sums.max(axis=2, keepdims=True)
        tied = (sums == best) & (best >= 0)
        picked = np.einsum("psa,pa->ps", tied, rightness) / np.maximum(tied.sum(axis=2), 1)
        found.append(picked.mean(axis=1))
    return np.stack(found, axis=1)


def _along_orders(answers: Ints, weights: Ints, right: Floats, orders: Ints, sizes: Sequence[int]) -> Floats:
    """Adds one sample after the other in every order: only the sum of its own answer changes, and sums never fall."""
    problems, (count, _) = len(answers), orders.shape
    width = 2 + int(answers.max(initial=0))  # the last place takes samples without an answer
    places = np.where(answers < 0, width - 1, answers)
    base = width * np.arange(problems * count).reshape(problems, count)
    sums = np.full(problems * count * width, -1, dtype=np.int64)
    best = np.full((problems, count), -1, dtype=np.int64)
    tied, value = np.zeros((problems, count)), np.zeros((problems, count))
    found = np.empty((problems, len(sizes)))
    for step in range(max(sizes)):
        sample = orders[:, step]
        place, rightness = places.take(sample, axis=1), right.take(sample, axis=1)
        slot = base + place
        before = sums.take(slot)
        after = np.where(place == width - 1, -2, np.maximum(before, 0) + weights.take(sample, axis=1))
        sums[slot] = after
        better, joins = after > best, (after == best) & (before != best)
        tied = np.where(better, 1, tied + joins)
        value = np.where(better, rightness, value + joins * rightness)
        best = np.maximum(best, after)
        if step + 1 in sizes:
            found[:, sizes.index(step + 1)] = (value / np.maximum(tied, 1)).mean(axis=1)
    return found
