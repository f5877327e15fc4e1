"""ProcessBench: does the verifier name the first wrong step?

Accuracy on solutions with an error counts exact first-error indices; accuracy on solutions without one counts those
accepted; F1 is their harmonic mean. A solution without a verdict (``None``) is a miss and is counted as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genprm.errors import InputError, RecordError
from genprm.evaluate.statistics import Floats, Interval, f1_difference, f1_interval, mean_interval
from genprm.records import read_votes, solution_from_dict
from genprm.records.lines import read_lines
from genprm.types import Solution, Vote
from genprm.verdicts import predicted_label

Predicted = int | None


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
class Report:
    """The evaluation of one run."""

    solutions: int
    unlabelled: int
    votes: int
    """Single votes to each solution, the fewest."""
    maj: F1Result
    pass_at_1: F1Result | None
    """The mean over single votes; None where the run keeps none."""
    difference: Interval | None
    """Maj minus Pass@1 in points, paired."""
    recall: Mapping[str, Interval] = field(default_factory=dict)
    """Per cent of each kind answered rightly, where the records have a ``kind``."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(predicted: Sequence[Predicted], labels: Sequence[int], *, seed: int = 0) -> F1Result:
    """F1 of one verdict for each solution; -1 says no error."""
    return pass_at_1([[verdict] for verdict in predicted], labels, seed=seed)


def pass_at_1(predicted: Sequence[Sequence[Predicted]], labels: Sequence[int], *, seed: int = 0) -> F1Result:
    """F1 of single votes, ``predicted[solution][vote]``: every vote has its F1, their mean is stated."""
    table, wrong = hits(predicted, labels), with_error(labels)
    return F1Result(
        f1=f1_interval(table, wrong, seed=seed).times(100),
        error_accuracy=mean_interval(table[wrong], seed=seed).times(100),
        correct_accuracy=mean_interval(table[~wrong], seed=seed).times(100),
        erroneous=int(wrong.sum()),
        correct=int((~wrong).sum()),
        unknown=sum(verdict is None for row in predicted for verdict in row),
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


def with_error(labels: Sequence[int]) -> NDArray[np.bool_]:
    """(solutions,): whether the solution has an error."""
    return np.array([label >= 0 for label in labels], dtype=bool)


def vote_label(vote: Vote) -> Predicted:
    """The label that a single vote names: by the rule of items.jsonl."""
    return predicted_label([step.reward for step in vote.steps])


def evaluate_run(run: Path, *, seed: int = 0) -> Report:
    """The figures of a verify run directory. Raises ``InputError`` if it has no items or no labels."""
    known = labelled(run)
    lines = list(read_lines(run / "items.jsonl"))
    items = {str(item["id"]): _verdict(item, run, line) for line, item in lines}
    votes = votes_of_items(run)
    labels = [solution.label for solution in known if solution.label is not None]
    maj = [[items[solution.id]] for solution in known]
    # Where voting stopped early some votes were never run to their end: they have no label of their own.
    early = any(item.get("settled") in ("labels", "first-error", "risk") for _, item in lines)
    fewest = 0 if early else min(len(votes.get(solution.id, ())) for solution in known)
    singles = [[vote_label(vote) for vote in votes[s.id][:fewest]] for s in known if fewest]
    wrong = with_error(labels)
    kinds = [str(solution.extra.get("kind", "")) for solution in known]
    return Report(
        solutions=len(known),
        unlabelled=len(items) - len(known),
        votes=fewest,
        maj=pass_at_1(maj, labels, seed=seed),
        pass_at_1=pass_at_1(singles, labels, seed=seed) if fewest else None,
        difference=f1_difference(hits(maj, labels), hits(singles, labels), wrong, seed=seed).times(100)
        if fewest
        else None,
        recall=recall(maj, labels, kinds, seed=seed) if all(kinds) else {},
    )


def votes_of_items(run: Path) -> dict[str, list[Vote]]:
    """The votes that the run's items were made of, by solution: a run may hold more, of an earlier, larger number."""
    votes = read_votes(run / "votes.jsonl")
    sizes = {str(item["id"]): item.get("votes") for _, item in read_lines(run / "items.jsonl")}
    return {name: found[: sizes[name]] for name, found in votes.items() if name in sizes}


def labelled(run: Path) -> list[Solution]:
    """The solutions of a run directory that have an item and a label. Raises ``InputError`` if there are none."""
    if not (run / "items.jsonl").exists():
        raise InputError(f"{run} has no items.jsonl; finish the run with genprm verify, or give its folder")
    names = {str(item["id"]) for _, item in read_lines(run / "items.jsonl")}
    source = str(run / "solutions.jsonl")
    lines = read_lines(run / "solutions.jsonl")
    solutions = (solution_from_dict(record, source=source, line=line) for line, record in lines)
    known = [solution for solution in solutions if solution.id in names and solution.label is not None]
    if not known:
        raise InputError(f"{run}: none of its {len(names)} solutions has a 'label' to compare with")
    return known


def _verdict(item: Mapping[str, Any], run: Path, line: int) -> Predicted:
    found = item.get("predicted_label", "absent")
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise RecordError(
        "must be a whole number or null", source=str(run / "items.jsonl"), line=line, field="predicted_label"
    )
