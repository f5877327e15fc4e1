"""When votes to come will hardly change the predicted label: the risk-bounded stop.

The votes on a step are taken as draws of one unknown chance of a Yes, which is drawn from a beta distribution that
knows that votes mostly agree (``PRIOR``). Given the votes that are in, those to come are beta-binomial, which gives the
chance that the step's verdict will be another one than a label says. A label rests on its own step and on those before
it, so its chance to change is at most the sum of theirs. Voting ends when some label's sum is within the bound.

The bound holds as far as that model of the votes does; ``tests/benchmarks/stop_rules.py`` measures what came of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from genprm.verdicts import THRESHOLD

Values = Sequence[float]
"""Of one step: what each vote that judged it says, between 0 and 1."""

PRIOR = (0.105, 0.0235)
"""Pseudo-counts of Yes and No before any vote: far below 1, for most steps have nearly all their votes on one side.

Fitted to 3,200 votes of the shipped model on 400 GSM8K solutions (``stop_rules.py --fit``).
"""


def least_more(columns: Sequence[Values], remaining: int, risk: float) -> int:
    """The fewest further votes after which a label could be within the risk; 0 if one is."""
    for more in range(remaining):
        left = remaining - more
        if_yes = [chance_of_no(math.fsum(values) + more, len(values) + more, left) for values in columns]
        if_no = [1 - chance_of_no(math.fsum(values), len(values) + more, left) for values in columns]
        # Risk of "the first error is here" for each step, and of "there is none".
        before = [0.0, *accumulate(if_yes)]
        if min(before[-1], *map(sum, zip(before, if_no, strict=False))) <= risk:
            return more
    return remaining


def steps_needed(columns: Sequence[Values], remaining: int, risk: float) -> int:
    """How many steps of a further vote can matter: none behind a step that will hardly be anything but No."""
    for index, values in enumerate(columns):
        if 1 - chance_of_no(math.fsum(values), len(values), remaining) <= risk:
            return index + 1
    return len(columns)


def chance_of_no(total: float, count: int, remaining: int) -> float:
    """The chance that a step's mean ends as a No: ``count`` votes summed to ``total``, ``remaining`` will be 0 or 1.

    1/2 where nothing is known, for then the prior alone would speak.
    """
    if not count:
        return 0.5
    yes, no = PRIOR[0] + total, PRIOR[1] + count - total
    # Of the beta-binomial: the chance of no Yes among those to come, then of one more each time.
    term = math.exp(_log_beta(yes, no + remaining) - _log_beta(yes, no))
    chance = 0.0
    for found in range(remaining + 1):
        if (total + found) / (count + remaining) >= THRESHOLD:
            break
        chance += term
        if found < remaining:
            term *= (remaining - found) / (found + 1) * (yes + found) / (no + remaining - found - 1)
    return min(1.0, chance)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
