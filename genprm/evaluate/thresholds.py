"""The threshold of a scorer whose rewards are not probabilities: chosen on one subset, reused on the others. Pure.

ProcessBench does so for scalar models, with GSM8K as the subset to choose on. A threshold chosen on the data that it
is measured on is an upper bound, not a figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.scored import Rewards
from genprm.evaluate.statistics import Floats, f1


def best_threshold(rewards: Sequence[Rewards], labels: Sequence[int]) -> float:
    """The threshold with the highest F1; the lowest of several.

    A solution is a hit for the thresholds t in an interval: with the first error at k for r_k < t <= min(r_0..r_{k-1}),
    without one for t <= min(r). F1 changes at ends of intervals only, so the candidates are the upper ends.
    """
    errors = [_hit_between(own, label) for own, label in zip(rewards, labels, strict=True) if label >= 0]
    clean = [_hit_between(own, label) for own, label in zip(rewards, labels, strict=True) if label < 0]
    if not errors or not clean:
        raise InputError("a threshold is chosen by F1, which needs solutions with and without an error")
    tops = {high for low, high in (*errors, *clean) if low < high and math.isfinite(high)}
    if not tops:
        raise InputError("no threshold separates these rewards: every lowest reward is that of a right step")
    candidates = np.array(sorted(tops))
    figures = f1(_share(errors, candidates), _share(clean, candidates))
    return float(candidates[figures.argmax()])


def _hit_between(rewards: Rewards, label: int) -> tuple[float, float]:
    """(low, high): thresholds in low < t <= high name the label; empty where low >= high."""
    if any(reward is None for reward in (rewards if label < 0 else rewards[: label + 1])):
        return math.inf, math.inf
    known = [reward for reward in rewards[: len(rewards) if label < 0 else label + 1] if reward is not None]
    if label < 0:
        return -math.inf, min(known)
    return known[-1], min(known[:-1], default=math.inf)


def _share(between: Iterable[tuple[float, float]], candidates: Floats) -> Floats:
    """(candidates,): the share of intervals that hold each candidate."""
    ends = np.array(list(between)).reshape(-1, 2)
    kept = ends[ends[:, 0] < ends[:, 1]]
    above = np.searchsorted(np.sort(kept[:, 0]), candidates, side="left")
    return np.asarray((above - np.searchsorted(np.sort(kept[:, 1]), candidates, side="left")) / len(ends))
