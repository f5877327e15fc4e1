"""Labels that know how few completions they rest on: 1, 0, or unsettled (NaN) at a stated confidence.

Counts are binomial draws; what is asked is the rule's label of the true chances behind them. Bounds are one-sided
Clopper-Pearson bounds, which hold for any counts. At most one wrong answer is possible for a given truth, so:

* ``hard``: 1 if the lower bound lies above the threshold, 0 if the upper bound does not. At threshold 0 a 0 is never
  settled, for no number of failures shows that a chance is 0; give the chance that counts as none, such as 0.05.
* ``rpe_ratio``, ``rpe_difference``: the two chances are bounded each at half the risk (Bonferroni) and the rule is
  taken at the worst corner. Valid for any counts and any dependence of the two, and wider than it need be.

A settled answer to a step is wrong with a chance of at most 1 - confidence (each step for itself). Last steps are
known, not sampled. Where relative progress ends at a step with MC = 0, later steps are set by the rule's decree, not by
their own counts: they take the answer of that step, 0 or unsettled.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from genprm.curate.counts import Bools, Counts, Ints
from genprm.errors import InputError
from genprm.evaluate.statistics import Floats

_CELLS = 4_000_000
"""Numbers held at once while bounds are searched."""
_HALVINGS = 44


def lower_bounds(correct: Ints, total: Ints, risk: float) -> Floats:
    """One-sided Clopper-Pearson: a chance that the true one lies below with probability at most ``risk``.

    Elementwise; 0 where nothing is correct. Found by bisection and rounded outward.
    """
    width = int(total.max(initial=0)) + 1
    pairs, place = np.unique(correct * width + total, return_inverse=True)  # few, whatever the number of steps
    rows = max(1, _CELLS // width)
    chunks = [pairs[start : start + rows] for start in range(0, len(pairs), rows)]
    return np.concatenate([_bisect(chunk // width, chunk % width, risk) for chunk in chunks])[place]


def upper_bounds(correct: Ints, total: Ints, risk: float) -> Floats:
    """As ``lower_bounds``, from above; 1 where everything is correct."""
    return 1 - lower_bounds(total - correct, total, risk)


def confident_hard(counts: Counts, threshold: Fraction, confidence: float) -> Floats:
    """(steps,): the hard label at a confidence; NaN unsettled."""
    low, high = _bounds(counts.correct, counts.total, counts.last, 1 - confidence)
    bound = float(threshold)
    yes = (low > bound) if bound else (counts.correct > 0)  # one success shows that a chance is not 0, for certain
    return _three(yes, high <= bound)


def confident_ratio(counts: Counts, threshold: Fraction, confidence: float) -> Floats:
    """(steps,): the label of relative progress, as a ratio, at a confidence; NaN unsettled."""
    after, before = _both(counts, confidence)
    bound = float(threshold)
    return _relative(counts, after.low >= bound * before.high, after.high < bound * before.low)


def confident_difference(counts: Counts, threshold: Fraction, confidence: float) -> Floats:
    """(steps,): the label of relative progress, as a difference, at a confidence; NaN unsettled."""
    after, before = _both(counts, confidence)
    bound = float(threshold)
    return _relative(counts, after.low - before.high >= bound, after.high - before.low < bound)


def check_confidence(confidence: float) -> None:
    """Raises ``InputError``. Below 0.5 a bound could lie on the wrong side of its own estimate."""
    if not 0.5 < confidence < 1:
        raise InputError(f"confidence is {confidence}; it must be above 0.5 and below 1, such as 0.95")


class _Bounds(NamedTuple):
    """One-sided bounds on chances, (steps,) each; both are the chance where it is known."""

    low: Floats
    high: Floats


def _bounds(correct: Ints, total: Ints, known: Bools, risk: float) -> _Bounds:
    low, high = lower_bounds(correct, total, risk), upper_bounds(correct, total, risk)
    return _Bounds(np.where(known, correct, low), np.where(known, correct, high))


def _both(counts: Counts, confidence: float) -> tuple[_Bounds, _Bounds]:
    """Of every step, and of the prefix before it, each at half the risk."""
    chain, risk, sampled = counts.chain(), (1 - confidence) / 2, np.zeros(len(counts.correct), dtype=bool)
    return (
        _bounds(chain.correct, chain.total, counts.last, risk),
        _bounds(chain.before_correct, chain.before_total, sampled, risk),
    )


def _relative(counts: Counts, yes: Bools, no: Bools) -> Floats:
    """A 1 needs successes on both sides; steps after the first one with MC = 0 take its answer."""
    chain, places = counts.chain(), np.arange(len(yes))
    wrong_answer = counts.last & (chain.correct == 0)
    values = _three(yes & (chain.correct > 0) & (chain.before_correct > 0), no | wrong_answer)
    first_zero = np.where((chain.correct == 0) & ~chain.ended, places, len(places))
    first_zero = np.minimum.reduceat(first_zero, counts.starts[:-1]).repeat(counts.lengths)
    source: Ints = np.where(chain.ended, first_zero, places)
    return values[source]


def _three(yes: Bools, no: Bools) -> Floats:
    return np.where(yes, 1.0, np.where(no, 0.0, np.nan))


def _bisect(correct: Ints, total: Ints, risk: float) -> Floats:
    """For each pair the chance p at which P(X >= correct) = risk, X of ``total`` draws, from below."""
    most = int(total.max(initial=0))
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
    k, n = np.arange(most + 1), total[:, None]
    tail = (k >= correct[:, None]) & (k <= n)
    log_ways = log_factorial[n] - log_factorial[k] - log_factorial[np.where(tail, n - k, 0)]
    log_ways[~tail] = -np.inf
    failures = np.where(tail, n - k, 0)
    low, high = np.zeros(len(total)), np.ones(len(total))
    for _ in range(_HALVINGS):
        middle = ((low + high) / 2)[:, None]
        chance = np.exp(log_ways + k * np.log(middle) + failures * np.log1p(-middle)).sum(axis=1)
        low, high = np.where(chance <= risk, middle[:, 0], low), np.where(chance <= risk, high, middle[:, 0])
    return np.where(correct > 0, low, 0.0)
