"""What a run counts: one tally, fed vote by vote, for the live display and for ``metrics.json`` alike."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from genprm.rationale.judgement import find_judgement
from genprm.types import Vote


@dataclass(slots=True)
class Tally:
    """Counts over the votes added so far."""

    votes: int = 0
    tokens: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    """Steps by status: judged, failed, not_run."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failed steps by name; ``no_judgement`` are the parse failures."""
    code: Counter[str] = field(default_factory=Counter)
    """Code blocks by status."""
    judgements: Counter[str] = field(default_factory=Counter)
    lenient: int = 0
    """Judgements that were read although the box was missing."""
    recent_cells: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    """Seconds that the latest cells took in the sandbox, where that is known."""

    def add(self, vote: Vote, cell_seconds: Sequence[float] = ()) -> None:
        """Count one vote."""
        self.votes += 1
        self.recent_cells.extend(cell_seconds)
        for step in vote.steps:
            self.tokens += step.tokens
            self.steps[step.status] += 1
            self.code.update(run.status for run in step.code)
            if step.failure is not None:
                self.failures[step.failure] += 1
            if step.judgement is not None:
                self.judgements[step.judgement] += 1
                found = find_judgement(step.rationale)
                self.lenient += found is None or not found.boxed

    @property
    def cell_ms(self) -> float | None:
        """Median of the latest cells."""
        return 1000 * median(self.recent_cells) if self.recent_cells else None

    def as_dict(self) -> dict[str, Any]:
        """The counts of ``metrics.json``."""
        runs = self.code.total() - self.code["not_run"]
        return {
            "votes": self.votes,
            "steps": dict(sorted(self.steps.items())),
            "tokens": self.tokens,
            "judgements": dict(sorted(self.judgements.items())),
            "code": dict(sorted(self.code.items())),
            "code_success": self.code["ok"] / runs if runs else None,
            "parse_failures": self.failures["no_judgement"],
            "lenient_judgements": self.lenient,
            "failures": dict(sorted(self.failures.items())),
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after one more vote finished, for a live display."""

    vote: Vote
    """The vote that just finished."""
    done: int
    """Votes finished, those of earlier runs of the directory included."""
    total: int
    items_done: int
    items_total: int
    tally: Tally
    """Counts over the votes of this run."""
    seconds: float
    """Since this run started."""
