"""What a rollout counts: one tally, fed result by result, for the live display and for ``metrics.json`` alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from genprm.rollout.budget import Outcome
from genprm.rollout.samples import Sample
from genprm.types import Rollout

Phase = Literal["solutions", "completions"]


@dataclass(slots=True)
class Tally:
    """Counts over the results added so far."""

    samples: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Invalid samples by reason."""
    prefixes: int = 0
    """Completed prefixes, the problems alone and the last steps included."""
    completions: Counter[Outcome] = field(default_factory=Counter)
    """Of problems and prefixes that were completed; last steps are not."""
    shared: int = 0
    """Prefixes that another solution of the problem begins with too, so nothing was completed for them."""
    saved: int = 0
    """Completions that a stop rule left out."""
    sample_tokens: int = 0
    completion_tokens: int = 0

    def add_sample(self, sample: Sample) -> None:
        """Count one sample."""
        self.samples[sample.outcome] += 1
        self.sample_tokens += sample.tokens
        if sample.reason is not None:
            self.reasons[sample.reason] += 1

    def add_rollout(self, rollout: Rollout, *, last: bool) -> None:
        """Count one prefix. ``last``: it is a whole solution, of which only the answer was looked at."""
        self.prefixes += 1
        self.completion_tokens += rollout.tokens
        self.shared += rollout.shared is not None
        if last or rollout.shared is not None:
            return
        self.completions["correct"] += rollout.correct
        self.completions["invalid"] += rollout.invalid
        self.completions["incorrect"] += rollout.total - rollout.correct - rollout.invalid
        self.saved += rollout.k - rollout.total

    @property
    def tokens(self) -> int:
        """All tokens generated."""
        return self.sample_tokens + self.completion_tokens

    def as_dict(self) -> dict[str, Any]:
        """The counts of ``metrics.json``."""
        done = self.completions.total()
        return {
            "samples": {**dict(sorted(self.samples.items())), "tokens": self.sample_tokens},
            "invalid_samples": dict(sorted(self.reasons.items())),
            "prefixes": self.prefixes,
            "shared_prefixes": self.shared,
            "completions": {**dict(sorted(self.completions.items())), "tokens": self.completion_tokens},
            "completions_saved": self.saved,
            "share_saved": self.saved / (self.saved + done) if self.saved else 0.0,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after one more result, for a live display."""

    phase: Phase
    result: Sample | Rollout
    done: int
    """Samples, or prefixes, that are in; those of earlier runs of the directory included."""
    total: int
    """That are known to be needed by now."""
    fresh: int
    """Of those done, the ones of this run."""
    tally: Tally
    """Counts over the results of this run."""
    seconds: float
    """Since this phase started."""
