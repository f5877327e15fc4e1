"""Which token of a solution answers for what: advantages of whole groups, from outcomes and rewards of steps. Pure.

A group is the solutions of one problem. The outcome's advantage is that of GRPO (DeepSeekMath, arXiv 2402.03300): the
outcome less the group's mean, over its standard deviation, the same on every token. The process's advantage differs
from step to step, and every token carries that of its step:

``sum``  return to go (DeepSeekMath, process supervision): step rewards are normalised over all steps of the group, and
         a step answers for the sum of its own and all later ones.
``min``  after PURE (arXiv 2504.15275), which holds that a solution is worth its worst step: the smallest rewards are
         normalised over the solutions of the group, and every step up to the first of the worst answers for it. Behind
         it nothing is left to be decided, and the advantage is 0.

Both are mixed as ReasonFlux-PRM mixes rewards (arXiv 2506.18896): ``(1 - beta) outcome + beta process``. Where a reward
is not known nothing is made up: the solution has no process advantage, and others are not compared with it. Where all
of a group are alike there is none either.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from genprm.train.options.policies import Credit

TINY = 1e-4
"""Added to a standard deviation, as TRL does."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a solution got."""

    outcome: float
    steps: tuple[float, ...] | None = None
    """Rewards of its steps, one at least; ``None`` where they are not known."""


def advantages(group: Sequence[Worth], beta: float, credit: Credit) -> list[tuple[float, ...]]:
    """For each solution of a group the advantage of each of its steps; of one without steps, of the whole."""
    outcome = normalised([one.outcome for one in group])
    process = (_sums if credit == "sum" else _minima)([one.steps for one in group])
    return [
        tuple((1 - beta) * whole + beta * step for step in steps) for whole, steps in zip(outcome, process, strict=True)
    ]


def on_tokens(steps: Sequence[float], starts: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """The advantage of each token.

    ``starts``: the character at which each step begins, the first 0; ``tokens``: the character at which each token
    begins. A token that reaches over the end of a step is of the step that it begins in.
    """
    if len(steps) == 1:
        return [steps[0]] * len(tokens)
    return [steps[bisect_right(starts, place) - 1] for place in tokens]


def normalised(values: Sequence[float]) -> list[float]:
    """Less the mean, over the standard deviation (ddof 1); zeros where there are fewer than two values."""
    if len(values) < 2:
        return [0.0] * len(values)
    mean, spread = _mean_and_spread(values)
    return [(value - mean) / (spread + TINY) for value in values]


def _sums(group: Sequence[tuple[float, ...] | None]) -> list[tuple[float, ...]]:
    flat = iter(normalised([step for steps in group if steps is not None for step in steps]))
    found: list[tuple[float, ...]] = []
    for steps in group:
        if steps is None:
            found.append((0.0,))
            continue
        own = [next(flat) for _ in steps]
        found.append(tuple(math.fsum(own[place:]) for place in range(len(own))))
    return found


def _minima(group: Sequence[tuple[float, ...] | None]) -> list[tuple[float, ...]]:
    worst = iter(normalised([min(steps) for steps in group if steps is not None]))
    found: list[tuple[float, ...]] = []
    for steps in group:
        if steps is None:
            found.append((0.0,))
            continue
        value, place = next(worst), steps.index(min(steps))
        found.append((value,) * (place + 1) + (0.0,) * (len(steps) - place - 1))
    return found


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
