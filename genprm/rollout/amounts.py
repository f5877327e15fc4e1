"""How many completions a prefix gets: fixed, by the difficulty of its problem, or until its label is settled. Pure.

A label is settled under one rule, and counts that were stopped by it are biased for every other: they carry its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from genprm.errors import InputError

Settled = Callable[[int, int, int], bool]
"""(correct, total so far, k) to whether the remaining ``k - total`` completions need not be run. Pure."""
WAVE = 8
"""Completions between two looks at the counts."""
BOUNDS = (0.1, 0.9)
"""Pass@1 below the first is hard, below the second medium, else easy."""
SURE = 1.96
"""Standard errors to either side: 95 %."""
CLOSE = 0.1


@dataclass(frozen=True, slots=True)
class Amounts:
    """K of a prefix by the Pass@1 of its problem under the model that completes. GenPRM: 128, 64 and 32."""

    hard: int
    medium: int
    easy: int

    def __post_init__(self) -> None:
        for value in (self.hard, self.medium, self.easy):
            if value < 1:
                raise InputError(f"k is {value}; a prefix needs at least 1 completion")

    @classmethod
    def fixed(cls, k: int) -> Amounts:
        """The same for every prefix."""
        return cls(k, k, k)

    @property
    def is_fixed(self) -> bool:
        return self.hard == self.medium == self.easy

    @property
    def of_problem(self) -> int:
        """K of the problem alone: the most of the three, for what it gives stands under every ratio of the problem."""
        return max(self.hard, self.medium, self.easy)

    def of_prefix(self, correct: int, total: int) -> int:
        """K of a prefix, from what the problem alone gave."""
        share = correct / total  # rounded as the bounds are, so 1 of 10 is not below 0.1
        return self.hard if share < BOUNDS[0] else self.medium if share < BOUNDS[1] else self.easy


@dataclass(frozen=True, slots=True)
class Rule:
    """A label rule that tells when a prefix needs no more completions. To be sent to replicas it must pickle."""

    name: str
    settled: Settled


def hard_settled(correct: int, total: int, k: int) -> bool:
    """The hard label, 1 if any completion is right, cannot change once one is. Exact."""
    return correct > 0


def soft_settled(correct: int, total: int, k: int) -> bool:
    """The soft label, the share of right completions, is known to 0.1 either way: Wilson's interval at 95 %."""
    if total == 0:
        return False
    share, width = correct / total, SURE**2 / total
    spread = SURE * math.sqrt(share * (1 - share) / total + SURE**2 / (4 * total**2)) / (1 + width)
    return spread <= CLOSE


RULES = {rule.name: rule for rule in (Rule("hard", hard_settled), Rule("soft", soft_settled))}


def rule_named(name: str | None) -> Rule | None:
    """The rule of that name; none for ``None``. Raises ``InputError`` for another."""
    if name is None:
        return None
    if name not in RULES:
        raise InputError(f"there is no stop rule '{name}'; the rules are {', '.join(sorted(RULES))}")
    return RULES[name]
