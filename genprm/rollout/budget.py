"""How many solutions are sampled for a problem, how hard that says it is, and which of them are kept. Pure.

Samples come in waves: an initial one, then batches until enough are right and enough are wrong, up to a maximum. What
is sampled depends on the outcomes alone, never on the order in which they came in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from genprm.errors import InputError
from genprm.runs.keys import digest

Outcome = Literal["correct", "incorrect", "invalid"]
Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True)
class Budget:
    """Samples of one problem. Defaults: GenPRM's shipped scripts."""

    initial: int = 32
    batch: int = 16
    most: int = 2048
    keep: int = 4
    """Solutions kept, half of them right and half wrong; filled up from the larger side."""
    difficulties: tuple[Difficulty, ...] = ("medium",)
    """Problems of other difficulties keep none."""

    def __post_init__(self) -> None:
        for name in ("initial", "batch", "most", "keep"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"the number of samples '{name}' is {value}; it must be at least 1")
        if self.most < self.initial:
            raise InputError(f"at most {self.most} samples leave no room for {self.initial} initial ones; raise it")

    def size(self, outcomes: Mapping[int, Outcome]) -> int:
        """How many samples are needed, as far as these outcomes by index tell: all from 0 on are to be in."""
        count, seen = self.initial, 0
        tally: Counter[Outcome] = Counter()
        while True:
            for index in range(seen, count):
                if index not in outcomes:
                    return count
                tally[outcomes[index]] += 1
            seen = count
            if count >= self.most or self._enough(tally):
                return count
            count = min(count + self.batch, self.most)

    def wave(self, index: int) -> int:
        """Which wave a sample belongs to: 0 for the initial one."""
        return 0 if index < self.initial else 1 + (index - self.initial) // self.batch

    def _enough(self, tally: Mapping[Outcome, int]) -> bool:
        right, wrong = self.halves
        return tally["correct"] >= right and tally["incorrect"] >= wrong

    @property
    def halves(self) -> tuple[int, int]:
        """Right and wrong solutions wanted; of an odd number the right ones are one more."""
        return self.keep - self.keep // 2, self.keep // 2


def pass_at_1(tally: Mapping[Outcome, int]) -> float | None:
    """Share of right samples; one that is invalid does not solve the problem. ``None`` without samples."""
    total = sum(tally.values())
    return tally.get("correct", 0) / total if total else None


def difficulty(tally: Mapping[Outcome, int]) -> Difficulty:
    """hard: none is right; easy: some are and none is wrong; medium: both."""
    if not tally.get("correct", 0):
        return "hard"
    return "medium" if tally.get("incorrect", 0) else "easy"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid sample, as far as the choice goes."""

    index: int
    correct: bool
    steps: tuple[str, ...]


def select(candidates: Iterable[Candidate], budget: Budget, run_seed: int, problem_id: str) -> tuple[int, ...]:
    """Indices of the samples to keep, sorted. The draw depends on the seed and the problem alone.

    Of samples that say the same one can be kept: another would be rolled out to learn nothing new.
    """
    # Wave by wave: where more are kept later, for which more may be sampled, earlier choices stand.
    drawn = sorted(
        candidates, key=lambda one: (budget.wave(one.index), digest("selection", run_seed, problem_id, one.index))
    )
    distinct: dict[tuple[str, ...], Candidate] = {}
    for one in drawn:
        distinct.setdefault(one.steps, one)
    right = [one.index for one in distinct.values() if one.correct]
    wrong = [one.index for one in distinct.values() if not one.correct]
    most_right, most_wrong = budget.halves
    kept_wrong = wrong[: max(most_wrong, budget.keep - len(right))]
    kept_right = right[: max(most_right, budget.keep - len(kept_wrong))]
    return tuple(sorted(kept_right + kept_wrong))
