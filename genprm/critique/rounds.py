"""The rounds of refinement as values: who stands where, what was tried, what was taken. Pure.

Nothing here looks at the reference answer to decide: whether an answer is right is only counted, in ``count``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from genprm.critique.findings import Finding
from genprm.types import Solution

Score = Literal["min", "mean", "product", "last"]
Right = bool | None
"""Whether a final answer is right; ``None`` where there is no reference answer."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The solution of a problem after a round, with the verifier's score where it was verified."""

    solution: Solution
    score: float | None
    right: Right


@dataclass(frozen=True, slots=True)
class Turn:
    """What happened to one problem in one round."""

    before: Standing
    after: Standing
    finding: Finding | None = None
    candidates: tuple[str, ...] = ()
    """Ids of the new solutions, those that could not be used left out."""
    invalid: int = 0
    """New solutions that did not end by themselves, or had no steps or no answer."""

    @property
    def changed(self) -> bool:
        return self.after.solution.id != self.before.solution.id


@dataclass(frozen=True, slots=True)
class Round:
    """Figures of one round, of ``problems`` in all. Shares of right answers are of those with a reference answer."""

    number: int
    problems: int
    answered: int
    """Problems with a reference answer."""
    right: int
    """Answers that are right after the round."""
    criticised: int
    false_alarms: int
    """Right answers that were criticised all the same."""
    changed: int
    wrong_to_right: int
    right_to_wrong: int
    invalid: int
    policy_tokens: int = 0
    verifier_tokens: int = 0
    """Of this round; those of round 0 are the first verification."""


def choose(before: Standing, candidates: Sequence[Standing], *, if_better: bool) -> Standing:
    """The candidate with the highest score, the first of equals; one without a score is below all others.

    ``if_better``: the old solution stays unless that score is above its own.
    """
    if not candidates:
        return before
    best = max(candidates, key=lambda one: -1.0 if one.score is None else one.score)
    if if_better and not (best.score is not None and (before.score is None or best.score > before.score)):
        return before
    return best


def count(number: int, turns: Sequence[Turn], policy_tokens: int, verifier_tokens: int) -> Round:
    """The figures of a round."""
    known = [turn for turn in turns if turn.before.right is not None and turn.after.right is not None]
    return Round(
        number=number,
        problems=len(turns),
        answered=len(known),
        right=sum(bool(turn.after.right) for turn in known),
        criticised=sum(turn.finding is not None for turn in turns),
        false_alarms=sum(turn.finding is not None and bool(turn.before.right) for turn in known),
        changed=sum(turn.changed for turn in turns),
        wrong_to_right=sum(bool(turn.after.right) and not turn.before.right for turn in known),
        right_to_wrong=sum(bool(turn.before.right) and not turn.after.right for turn in known),
        invalid=sum(turn.invalid for turn in turns),
        policy_tokens=policy_tokens,
        verifier_tokens=verifier_tokens,
    )


def item_of(id: str, turns: Sequence[Turn]) -> dict[str, Any]:
    """The record of one problem: its rounds, and the solution it ends with."""
    return {
        "id": id,
        "final": turns[-1].after.solution.id,
        "right": [turns[0].before.right, *(turn.after.right for turn in turns)],
        "rounds": [
            {
                "solution": turn.before.solution.id,
                "score": turn.before.score,
                "finding": None if turn.finding is None else asdict(turn.finding),
                "candidates": list(turn.candidates),
                "invalid": turn.invalid,
                "taken": turn.after.solution.id,
            }
            for turn in turns
        ],
    }
