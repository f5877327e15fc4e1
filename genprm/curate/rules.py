"""Label rules as pure functions of counts: arrays in, arrays out, no loop over steps.

p = correct/total is the Monte Carlo value (MC) of a prefix. Thresholds are exact rationals and are compared in whole
numbers, so 0.7 - 1.0 >= -0.3 holds, as it does on paper and does not in floats.

Not here: which counts may be read by which rule, and prefixes without completions (``labels.py``).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genprm.curate.counts import Bools, Chain, Ints
from genprm.errors import InputError
from genprm.evaluate.statistics import Floats

Number = float | str | Fraction
"""A threshold as people write it: 0.8, "0.8", "4/5"."""

_SMALL_ETA = 1e-9
"""Below it the entropy label is p to within eta/8, nearer than the formula's own rounding of eta."""
_LARGE_ETA = 30.0


def exact(value: Number, name: str = "threshold") -> Fraction:
    """The rational that the digits of ``value`` spell: 0.8 is 4/5. Raises ``InputError``."""
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{name} is {value!r}; it must be a finite number such as 0.8 or 4/5") from error


def orm(answer: Ints, lengths: Ints) -> Floats:
    """(steps,): the outcome label, 1 if the solution's own answer is right, on every step of the solution.

    It says nothing of where an error is: a wrong solution has its first 0 at step 0. Training an outcome model takes
    the last step alone. ``answer``, ``lengths``: (solutions,).
    """
    return answer.astype(float).repeat(lengths)


def hard(correct: Ints, total: Ints, threshold: Number = 0) -> Bools:
    """MC > threshold; at 0: some completion is correct (Math-Shepherd; "Lessons" of Qwen2.5-Math-PRM)."""
    bound = exact(threshold)
    return _bools(_product(correct, bound.denominator) > _product(total, bound.numerator))


def soft(correct: Ints, total: Ints) -> Floats:
    """MC; NaN where nothing was sampled."""
    found: Floats = np.divide(correct, total, out=np.full(len(total), np.nan), where=total > 0)
    return found


def entropy(share: Floats, eta: float) -> Floats:
    """(1/eta) ln(1 - p + p e^eta), elementwise: ER-PRM eq. (1) with completions of the reference policy, rewards 0/1.

    ``eta`` is any real or infinite number: 0 gives p, +inf the hard label [p > 0], -inf [p = 1]. 0 and 1 stay fixed.
    Between p and the hard label for eta > 0, between [p = 1] and p for eta < 0. A share of NaN stays NaN; an eta of NaN
    is an ``InputError``.
    """
    if math.isnan(eta):
        raise InputError("eta is not a number; give a real one, such as 1")
    inner = (share > 0) & (share < 1)
    p = np.where(inner, share, 0.5)
    if abs(eta) < _SMALL_ETA:
        found = p
    elif math.isinf(eta):
        found = np.full_like(p, float(eta > 0))
    elif eta > _LARGE_ETA:  # e^eta taken out of the logarithm, where it could overflow
        found = 1 + np.log1p((1 - p) * math.expm1(-eta)) / eta
    else:
        found = np.log1p(p * math.expm1(eta)) / eta
    low, high = (p, 1.0) if eta > 0 else (0.0, p)
    return np.where(inner, np.clip(found, low, high), share)


def rpe_ratio(chain: Chain, threshold: Number = "0.8") -> Bools:
    """GenPRM eq. (10-11): MC after the step / MC before it >= threshold.

    The first step with MC = 0 and all later ones are 0 (0/0 is 0). A label of 0 with MC > 0 ends nothing.
    """
    bound = exact(threshold)
    after = _product(chain.correct, chain.before_total, bound.denominator)
    return _alive(chain) & _bools(after >= _product(chain.before_correct, chain.total, bound.numerator))


def rpe_difference(chain: Chain, threshold: Number = "-0.3") -> Bools:
    """The variant of GenPRM's ablation: MC after the step - MC before it >= threshold.

    The first step with MC = 0 and all later ones are 0, however small the difference.
    """
    bound = exact(threshold)
    after = _product(chain.correct, chain.before_total, bound.denominator)
    before = _product(chain.before_correct, chain.total, bound.denominator)
    return _alive(chain) & _bools(after - before >= _product(chain.total, chain.before_total, bound.numerator))


def _alive(chain: Chain) -> Bools:
    """Neither the step nor one before it has MC = 0."""
    return ~chain.ended & (chain.correct > 0)


def _product(first: Ints, *factors: Ints | int) -> NDArray[Any]:
    """The exact product, elementwise: in 64 bits where they hold it, else in Python's integers."""
    largest = math.prod(_magnitude(factor) for factor in (first, *factors))
    found: NDArray[Any] = first if largest < 2**62 else first.astype(object)
    for factor in factors:
        found = found * factor
    return found


def _magnitude(factor: Ints | int) -> int:
    if isinstance(factor, int):
        return abs(factor)
    return int(np.abs(factor).max(initial=0))


def _bools(values: NDArray[Any]) -> Bools:
    return values.astype(bool)
