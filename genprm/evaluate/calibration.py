"""Calibration of step rewards: of the steps rewarded about p, is a share of p right? Pure.

A label names the first wrong step, so it says of the steps before that they are right and of that one that it is
wrong; of later steps it says nothing. Most solutions have several right steps and at most one wrong one, so the shares
are those of such steps, not of solutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The steps with a reward in [low, high); the last bin holds 1 too."""

    low: float
    high: float
    steps: int
    right: int
    mean: float | None
    """Of their rewards; ``None`` without a step."""

    @property
    def share(self) -> float | None:
        """Of them that are right."""
        return self.right / self.steps if self.steps else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far rewards are from the shares they promise."""

    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error: the mean distance of a bin's mean reward from its share, by steps."""

    @property
    def steps(self) -> int:
        return sum(one.steps for one in self.bins)


def known_steps(label: int, steps: int) -> range:
    """The steps of which a label says whether they are right; ``label`` itself is the only wrong one."""
    return range(steps if label < 0 else min(label + 1, steps))


def bin_of(reward: float, bins: int = BINS) -> int:
    """The bin of a reward in [0, 1]."""
    return min(int(reward * bins), bins - 1)


def calibration(rewards: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration | None:
    """Of steps with a known truth, in ``bins`` bins of equal width; ``None`` without a step."""
    if not len(rewards):
        return None
    values, truth = np.asarray(rewards, dtype=float), np.asarray(right, dtype=bool)
    place = np.minimum((values * bins).astype(int), bins - 1)
    counts, sums, hits = (np.bincount(place, weights=of, minlength=bins) for of in (None, values, truth))
    error = float(np.abs(sums - hits).sum() / len(values))
    return Calibration(
        tuple(
            Bin(index / bins, (index + 1) / bins, int(count), int(hit), float(total / count) if count else None)
            for index, (count, total, hit) in enumerate(zip(counts, sums, hits, strict=True))
        ),
        error,
    )
