"""Calibration: of the predictions of about p, does a share of p come true? Pure.

Of step rewards it speaks as far as labels do. A label names the first wrong step, so the steps before are right and
that one is wrong; of later steps it says nothing. Most solutions have several right steps and at most one wrong one,
so the shares are those of such steps, not of solutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genprm.evaluate.statistics import Floats

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions in [low, high); the last bin includes 1."""

    low: float
    high: float
    count: int
    predicted: float | None
    """Their mean; ``None`` for an empty bin."""
    observed: float | None
    """The share that came true."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How good predictions p_i of events y_i in {0, 1} are."""

    count: int
    brier: float
    """Mean of (p - y)^2."""
    ece: float
    """Expected calibration error: sum over bins of (share of the predictions in it) |observed - predicted|."""
    bins: tuple[Bin, ...]


def known_steps(label: int, steps: int) -> range:
    """The steps of which a label says whether they are right; ``label`` itself is the only wrong one."""
    return range(steps if label < 0 else min(label + 1, steps))


def bin_of(prediction: float) -> int:
    """The bin of a prediction in [0, 1]."""
    return min(int(prediction * BINS), BINS - 1)


def calibration(predicted: Sequence[float] | Floats, came_true: Sequence[float] | Floats) -> Calibration | None:
    """Brier, ECE and reliability over ``BINS`` bins of equal width; ``None`` without predictions, or if one is not in
    [0, 1]."""
    said, true = np.asarray(predicted, dtype=float), np.asarray(came_true, dtype=float)
    if not len(said) or said.min() < 0 or said.max() > 1:
        return None
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums, hits = (np.bincount(place, weights=values, minlength=BINS) for values in (said, true))
    bins = tuple(
        Bin(i / BINS, (i + 1) / BINS, int(n), float(p) / n if n else None, float(y) / n if n else None)
        for i, (n, p, y) in enumerate(zip(counts.tolist(), sums, hits, strict=True))
    )
    ece = float(np.abs(sums - hits).sum() / len(said))
    return Calibration(len(said), float(((said - true) ** 2).mean()), ece, bins)
