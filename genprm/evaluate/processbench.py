"""ProcessBench: does the verifier name the first wrong step?

acc_err = mean of [prediction = label] over solutions with an error (label >= 0), acc_cor = mean of [prediction = -1]
over those without (label = -1), F1 = 2 acc_err acc_cor / (acc_err + acc_cor), 0 where both are 0 (ProcessBench,
arXiv 2412.06559). The prediction is the first step whose reward is below the threshold, else -1. A solution without a
verdict (``None``) is a miss and is counted as unknown. Intervals resample problems with all their solutions.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.breakdown import Group, groups
from genprm.evaluate.calibration import Calibration
from genprm.evaluate.diagnostics import (
    BehindRightAnswers,
    behind_right_answers,
    last_minimum,
    step_calibration,
)
from genprm.evaluate.scored import Predicted, Results, Scored, read_results, votes_of_items
from genprm.evaluate.statistics import Bools, Floats, Interval, f1_difference, f1_interval, mean_interval
from genprm.types import Vote
from genprm.verdicts import THRESHOLD, predicted_label


@dataclass(frozen=True, slots=True)
class F1Result:
    """All figures in per cent."""

    f1: Interval
    error_accuracy: Interval
    """Exact first errors found, of the solutions with one."""
    correct_accuracy: Interval
    """Solutions accepted, of those without an error."""
    erroneous: int
    correct: int
    unknown: int
    """Verdicts that are missing (over all votes)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that the votes took, code output included."""

    total: int
    per_solution: float
    per_rationale: float
    """Of the steps that were judged or failed."""


@dataclass(frozen=True, slots=True)
class Report:
    """The evaluation of one run or file, or of one subset of it."""

    solutions: int
    unlabelled: int
    unfinished: int
    """Solutions whose votes are owed still: they have no verdict, or one of fewer votes."""
    votes: int
    """Single votes to each solution, the fewest."""
    maj: F1Result
    pass_at_1: F1Result | None
    """The mean over single votes; None where the run keeps none."""
    difference: Interval | None
    """Maj minus Pass@1 in points, paired."""
    recall: Mapping[str, Interval] = field(default_factory=dict)
    """Per cent of each kind answered rightly, where the records have a ``kind``."""
    threshold: float = THRESHOLD
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    """By kind of error, position of the first error, length and generator; see ``breakdown``."""
    behind_right_answers: BehindRightAnswers | None = None
    last_minimum: Interval | None = None
    calibration: Calibration | None = None
    """Of step rewards, up to the first error."""
    tokens: Tokens | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Problems = Sequence[Hashable] | None


def score(
    predicted: Sequence[Predicted], labels: Sequence[int], *, problems: Problems = None, seed: int = 0
) -> F1Result:
    """F1 of one verdict for each solution; -1 says no error."""
    return pass_at_1([[verdict] for verdict in predicted], labels, problems=problems, seed=seed)


def pass_at_1(
    predicted: Sequence[Sequence[Predicted]], labels: Sequence[int], *, problems: Problems = None, seed: int = 0
) -> F1Result:
    """F1 of single votes, ``predicted[solution][vote]``: every vote has its F1, their mean is stated."""
    unknown = sum(verdict is None for row in predicted for verdict in row)
    return f1_of(hits(predicted, labels), labels, unknown=unknown, problems=problems, seed=seed)


def f1_of(
    table: Floats, labels: Sequence[int], *, unknown: int = 0, problems: Problems = None, seed: int = 0
) -> F1Result:
    """F1 of a table of hits (solutions, votes), each the share of verdicts that are right."""
    wrong = with_error(labels)

    def accuracy(of: Bools) -> Interval:
        own = None if problems is None else [name for name, one in zip(problems, of, strict=True) if one]
        return mean_interval(table[of], problems=own, seed=seed).times(100)

    return F1Result(
        f1=f1_interval(table, wrong, problems=problems, seed=seed).times(100),
        error_accuracy=accuracy(wrong),
        correct_accuracy=accuracy(~wrong),
        erroneous=int(wrong.sum()),
        correct=int((~wrong).sum()),
        unknown=unknown,
    )


def recall(
    predicted: Sequence[Sequence[Predicted]], labels: Sequence[int], groups: Sequence[str], *, seed: int = 0
) -> dict[str, Interval]:
    """Per cent answered rightly in each group, in the order of first appearance."""
    table = hits(predicted, labels)
    found: dict[str, Interval] = {}
    for group in dict.fromkeys(groups):
        member = np.array([name == group for name in groups])
        found[group] = mean_interval(table[member], seed=seed).times(100)
    return found


def hits(predicted: Sequence[Sequence[Predicted]], labels: Sequence[int]) -> Floats:
    """(solutions, votes): 1 where the verdict is the label."""
    if len(predicted) != len(labels):
        raise InputError(f"there are {len(predicted)} verdicts for {len(labels)} labels; give one for each")
    if len({len(row) for row in predicted}) > 1:
        raise InputError("solutions have different numbers of votes; finish the run first")
    return np.array([[v == label for v in row] for row, label in zip(predicted, labels, strict=True)], dtype=float)


def with_error(labels: Sequence[int]) -> Bools:
    """(solutions,): whether the solution has an error."""
    return np.array([label >= 0 for label in labels], dtype=bool)


def vote_label(vote: Vote, threshold: float = THRESHOLD) -> Predicted:
    """The label that a single vote names: by the rule of items.jsonl."""
    return predicted_label([step.reward for step in vote.steps], threshold)


def evaluate_run(path: Path, *, threshold: float = THRESHOLD, seed: int = 0) -> Report:
    """The figures of a run directory or a file. Raises ``InputError`` if it has no verdicts or no labels."""
    results = read_results(path)
    return evaluate_results(results, results.scored, threshold=threshold, seed=seed)


def evaluate_results(
    results: Results, chosen: Sequence[Scored], *, threshold: float = THRESHOLD, seed: int = 0
) -> Report:
    """The figures of some of the results."""
    known = labelled(results, chosen)
    for one in known:
        if one.rewards is None and threshold != THRESHOLD:
            raise results.fail(
                one, "reward", f"is missing, so a threshold of {threshold:g} says nothing; leave it at 0.5"
            )
    votes = votes_of_items(results.path) if results.is_run else {}
    labels = [one.solution.label for one in known if one.solution.label is not None]
    problems = [one.problem for one in known]
    maj = [[one.predicted(threshold)] for one in known]
    # Where voting stopped early some votes were never run to their end: they have no label of their own.
    early = any(one.settled in ("labels", "first-error", "risk") for one in chosen)
    fewest = 0 if early else min(len(votes.get(one.solution.id, ())) for one in known)
    singles = [[vote_label(vote, threshold) for vote in votes[one.solution.id][:fewest]] for one in known if fewest]
    kinds = [str(one.solution.extra.get("kind") or "") for one in known]
    return Report(
        solutions=len(known),
        unlabelled=len(chosen) - len(known),
        unfinished=sum(one.settled is None for one in known),
        votes=fewest,
        maj=pass_at_1(maj, labels, problems=problems, seed=seed),
        pass_at_1=pass_at_1(singles, labels, problems=problems, seed=seed) if fewest else None,
        difference=f1_difference(
            hits(maj, labels), hits(singles, labels), with_error(labels), problems=problems, seed=seed
        ).times(100)
        if fewest
        else None,
        recall=recall(maj, labels, kinds, seed=seed) if all(kinds) else {},
        threshold=threshold,
        groups=groups(known, hits(maj, labels)[:, 0], seed=seed),
        behind_right_answers=behind_right_answers(known, threshold, seed=seed),
        last_minimum=last_minimum(chosen, seed=seed),
        calibration=step_calibration(known),
        tokens=_tokens([vote for one in chosen for vote in votes.get(one.solution.id, ())], len(chosen)),
    )


def labelled(results: Results, chosen: Sequence[Scored] | None = None) -> list[Scored]:
    """The results that have a label and something to compare it with. Raises ``InputError`` if there are none."""
    chosen = results.scored if chosen is None else chosen
    known = [one for one in chosen if one.solution.label is not None]
    if not known:
        raise InputError(f"{results.path}: none of its {len(chosen)} solutions has a 'label' to compare with")
    for one in known:
        if not one.states and one.rewards is None:
            raise results.fail(one, "reward", "must be a list with one number per step, to name the first wrong step")
    return known


def _tokens(votes: Sequence[Vote], solutions: int) -> Tokens | None:
    steps = [step for vote in votes for step in vote.steps if step.status != "not_run"]
    total = sum(step.tokens for step in steps)
    return Tokens(total, total / solutions, total / len(steps)) if steps else None
