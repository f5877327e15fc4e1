"""When votes that are still to come cannot change the answer any more: the exact early stop.

Of N votes on a solution k are in. A step's reward is the mean over the votes that judge it, its verdict Yes at 0.5 or
above. With the values so far summing to s over v votes, each of the R = N - k others adds between 0 and 1, or nothing
if it fails. So the verdict is Yes whatever comes if s / (v + R) >= 0.5, and No if (s + R) / (v + R) < 0.5.

``labels`` asks for the verdict of every step, ``first-error`` for the predicted label alone: a first step that is
surely No behind steps that are surely Yes, or steps that are all surely Yes. What is exact is that answer, not the
rewards. Sums are computed as ``aggregate`` computes them, so that rounding cannot come between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from genprm.errors import InputError
from genprm.types import Settled
from genprm.verdicts import THRESHOLD
from genprm.verify import risk as bounded
from genprm.verify.risk import Values

SETTLES: tuple[Settled, ...] = ("all", "labels", "first-error", "risk")
DEFAULT_RISK = 0.01


@dataclass(frozen=True, slots=True)
class Stop:
    """When voting on a solution ends: after all votes, when they cannot change an answer, or when they hardly will.

    ``risk``, for ``settle="risk"``: the chance of another predicted label that is accepted (see ``risk.py``).
    """

    settle: Settled = "all"
    risk: float = DEFAULT_RISK

    def __post_init__(self) -> None:
        if self.settle not in SETTLES:
            raise InputError(f"settle is '{self.settle}'; it must be one of {', '.join(SETTLES)}")
        if not 0 < self.risk < 0.5:
            raise InputError(f"risk is {self.risk}; it must be above 0 and below 0.5")

    def least_more(self, columns: Sequence[Values], remaining: int) -> int:
        """The fewest further votes after which voting could end; 0 if it ends now."""
        if self.settle == "risk":
            return bounded.least_more(columns, remaining, self.risk)
        return least_more(columns, remaining, self.settle)

    def steps_needed(self, columns: Sequence[Values], remaining: int) -> int:
        """How many steps of a further vote can matter."""
        if self.settle == "risk":
            return bounded.steps_needed(columns, remaining, self.risk)
        return steps_needed(columns, remaining, self.settle)


def surely_yes(values: Values, remaining: int) -> bool:
    """The verdict is Yes whatever ``remaining`` further votes say."""
    return bool(values) and math.fsum(values) / (len(values) + remaining) >= THRESHOLD


def surely_no(values: Values, remaining: int) -> bool:
    """The verdict is No whatever ``remaining`` further votes say."""
    return bool(values) and math.fsum([*values, *[1.0] * remaining]) / (len(values) + remaining) < THRESHOLD


def least_more(columns: Sequence[Values], remaining: int, settle: Settled) -> int:
    """The fewest further votes after which the answer could be settled; 0 if it is.

    ``columns``: the values of each step over the votes that are in. Starting so many and no more never runs a vote
    that the shortest settled beginning of all N votes does not hold.
    """
    if settle == "all":
        return remaining
    yes = [_least(surely_yes, values, 1.0, remaining) for values in columns]
    no = [_least(surely_no, values, 0.0, remaining) for values in columns]
    if settle == "labels":
        return max(map(min, yes, no))
    all_yes = list(accumulate(yes, max))
    return min(all_yes[-1], *map(max, [0, *all_yes], no))


def steps_needed(columns: Sequence[Values], remaining: int, settle: Settled) -> int:
    """How many steps of a further vote can matter: for ``first-error``, none behind a step that is surely No."""
    if settle == "first-error":
        for index, values in enumerate(columns):
            if surely_no(values, remaining):
                return index + 1
    return len(columns)


def _least(test: Callable[[Values, int], bool], values: Values, best: float, remaining: int) -> int:
    """The fewest further votes that could pass the test, each saying ``best``; all of them if fewer cannot."""
    for more in range(remaining):
        if test([*values, *[best] * more], remaining - more):
            return more
    return remaining
