"""What the report shows of a run, worked out from its records: pure, no files, no HTML.

Rewards come from the item records. Where a run was interrupted before an item was written, the reward shown is the
mean over the votes finished so far, and the item says that it is unfinished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genprm.types import Solution, StepVerdict, Vote
from genprm.view.blocks import Block, cut
from genprm.view.frame import BINS, bin_of


@dataclass(frozen=True, slots=True)
class VoteCell:
    """What one vote says of one step."""

    vote: int
    verdict: StepVerdict
    blocks: tuple[Block, ...]

    @property
    def colour(self) -> float | None:
        return self.verdict.reward


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step with all that the votes say of it."""

    index: int
    text: str
    reward: float | None
    true_error: bool
    """The record's label names this step as the first wrong one."""
    predicted_error: bool
    votes: tuple[VoteCell, ...]

    @property
    def yes(self) -> int:
        return sum(cell.verdict.judgement == "Yes" for cell in self.votes)

    @property
    def judged(self) -> int:
        return sum(cell.verdict.status == "judged" for cell in self.votes)


@dataclass(frozen=True, slots=True)
class ItemPage:
    """One solution."""

    solution: Solution
    steps: tuple[StepRow, ...]
    votes: int
    predicted_label: int | None
    minimum: float | None
    finished: bool
    failures: Mapping[str, int]

    @property
    def agrees(self) -> bool | None:
        """Whether prediction and label name the same step; None where either is unknown."""
        if self.solution.label is None or self.predicted_label is None:
            return None
        return self.solution.label == self.predicted_label

    @property
    def tags(self) -> str:
        """The filters of the page that show this item."""
        named = {
            "error": self.predicted_label is not None and self.predicted_label >= 0,
            "clean": self.predicted_label == -1,
            "disagree": self.agrees is False,
            "failed": bool(self.failures),
        }
        return " ".join(name for name, holds in named.items() if holds)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole run."""

    items: int
    finished: int
    votes: int
    steps: int
    code_ok: int
    code_run: int
    tokens: int
    failures: Mapping[str, int]
    code_status: Mapping[str, int]
    labelled: int
    agreeing: int
    histogram: tuple[int, ...]
    """Judged steps by reward, ``BINS`` bars from 0 to 1."""


def item_page(solution: Solution, votes: Sequence[Vote], item: Mapping[str, Any] | None) -> ItemPage:
    """Everything the report shows of one solution; ``item`` is its item record, None while the run is unfinished."""
    rewards = [_mean(votes, step) for step in range(len(solution.steps))] if item is None else item["rewards"]
    predicted = None if item is None else item["predicted_label"]
    steps = tuple(
        StepRow(
            index=index,
            text=text,
            reward=rewards[index],
            true_error=solution.label == index,
            predicted_error=predicted == index,
            votes=tuple(_cell(vote, index) for vote in votes if index < len(vote.steps)),
        )
        for index, text in enumerate(solution.steps)
    )
    known = [reward for reward in rewards if reward is not None]
    failures: Counter[str] = Counter(step.failure for vote in votes for step in vote.steps if step.failure)
    return ItemPage(
        solution=solution,
        steps=steps,
        votes=len(votes),
        predicted_label=predicted,
        minimum=min(known, default=None),
        finished=item is not None,
        failures=dict(failures),
    )


def totals(pages: Sequence[ItemPage]) -> Totals:
    """Counts over all items of a run."""
    cells = [cell.verdict for page in pages for step in page.steps for cell in step.votes]
    status = Counter(run.status for cell in cells for run in cell.code)
    labelled = [page for page in pages if page.finished and page.solution.label is not None]
    histogram = [0] * BINS
    for page in pages:
        for step in page.steps:
            if step.reward is not None:
                histogram[bin_of(step.reward)] += 1
    return Totals(
        items=len(pages),
        finished=sum(page.finished for page in pages),
        votes=sum(page.votes for page in pages),
        steps=sum(cell.status == "judged" for cell in cells),
        code_ok=status["ok"],
        code_run=sum(count for name, count in status.items() if name != "not_run"),
        tokens=sum(cell.tokens for cell in cells),
        failures=dict(Counter(cell.failure for cell in cells if cell.failure)),
        code_status=dict(status.most_common()),
        labelled=len(labelled),
        agreeing=sum(page.agrees is True for page in labelled),
        histogram=tuple(histogram),
    )


def _cell(vote: Vote, index: int) -> VoteCell:
    verdict = vote.steps[index]
    return VoteCell(vote.vote, verdict, cut(verdict.rationale, verdict.code))


def _mean(votes: Sequence[Vote], step: int) -> float | None:
    known = [
        vote.steps[step].reward for vote in votes if step < len(vote.steps) and vote.steps[step].reward is not None
    ]
    return sum(reward for reward in known if reward is not None) / len(known) if known else None
