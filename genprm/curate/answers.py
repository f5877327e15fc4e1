"""The best-scored solution of every problem as its answer, and how often that answer is right.

Labels of last steps state whether the answer is right, so a score that reads them knows what it is measured on; with
``before_answer`` the last step is left out, and the score is what the labels of the reasoning alone are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genprm.curate.counts import Ints
from genprm.curate.labels import Labelled
from genprm.errors import InputError
from genprm.evaluate.statistics import Floats

Aggregation = Literal["min", "mean", "product", "last"]
AGGREGATIONS: tuple[Aggregation, ...] = ("min", "mean", "product", "last")


@dataclass(frozen=True, slots=True)
class AnswerCandidate:
    """The answer candidate of one problem."""

    problem_id: str
    id: str
    """The first of the best-scored solutions."""
    score: float
    tied: int
    """Solutions with that score, this one included."""
    correct: float
    """Share of the tied solutions whose answer is right."""


@dataclass(frozen=True, slots=True)
class AnswerCandidates:
    """The answer candidates of all problems under one rule."""

    rule: str
    parameters: Mapping[str, float]
    aggregation: Aggregation
    candidates: tuple[AnswerCandidate, ...]
    unscored: tuple[str, ...]
    """Problems none of whose solutions has a score, since each has a step without label."""

    @property
    def accuracy(self) -> float | None:
        """Share of right answers over the problems with a candidate, in [0, 1]; ``None`` without any."""
        if not self.candidates:
            return None
        return float(np.mean([candidate.correct for candidate in self.candidates]))


def best_candidates(
    labelled: Labelled, aggregation: Aggregation = "min", *, before_answer: bool = False
) -> AnswerCandidates:
    """The best-scored solution of each problem that has solutions, in the order of the problems.

    ``before_answer``: leave the last step out of the score; a solution of one step then has none. Raises
    ``InputError`` if it is unknown whether an answer is right, or for an unknown aggregation.
    """
    counts = labelled.counts
    if (counts.answer < 0).any():
        raise InputError("it is unknown whether these answers are right; candidates need rollouts of last steps")
    score = scores(labelled, aggregation, before_answer=before_answer)
    scored = np.flatnonzero(~np.isnan(score))
    problem = counts.problem[scored]
    best = np.full(len(counts.problem_ids), -np.inf)
    np.maximum.at(best, problem, score[scored])
    winners = scored[score[scored] == best[problem]]
    owners, first, tied = np.unique(counts.problem[winners], return_index=True, return_counts=True)
    right = np.bincount(counts.problem[winners], weights=counts.answer[winners], minlength=len(best))[owners] / tied
    return AnswerCandidates(
        rule=labelled.rule,
        parameters=labelled.parameters,
        aggregation=aggregation,
        candidates=tuple(
            AnswerCandidate(counts.problem_ids[owner], counts.ids[winner], float(best[owner]), int(size), float(share))
            for owner, winner, size, share in zip(owners, winners[first], tied, right, strict=True)
        ),
        unscored=tuple(counts.problem_ids[place] for place in np.setdiff1d(counts.problem, owners)),
    )


def scores(labelled: Labelled, aggregation: Aggregation = "min", *, before_answer: bool = False) -> Floats:
    """(solutions,): the values of each solution's steps in one number; NaN if any of them is missing."""
    if aggregation not in AGGREGATIONS:
        raise InputError(f"there is no aggregation '{aggregation}'; it must be one of {', '.join(AGGREGATIONS)}")
    values, starts = labelled.values, labelled.counts.starts
    if before_answer:
        values, starts = _without_last(values, starts)
    if aggregation == "last":
        return values[starts[1:] - 1]
    if aggregation == "mean":
        return np.add.reduceat(values, starts[:-1]) / np.diff(starts)
    reduce = np.minimum if aggregation == "min" else np.multiply
    return np.asarray(reduce.reduceat(values, starts[:-1]))


def _without_last(values: Floats, starts: Ints) -> tuple[Floats, Ints]:
    """The steps before the last one; of a solution of one step a NaN stays, for nothing is known of it."""
    lengths, last = np.diff(starts), starts[1:] - 1
    kept = values.copy()
    kept[last[lengths == 1]] = np.nan
    leave = np.ones(len(values), dtype=bool)
    leave[last[lengths > 1]] = False
    return kept[leave], np.concatenate([[0], np.cumsum(np.maximum(lengths - 1, 1))])
