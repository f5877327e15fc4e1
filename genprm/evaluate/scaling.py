"""How much more votes help: the figures of every N' <= N from one run with N votes, by subsampling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.gold import read_all
from genprm.evaluate.processbench import F1Result, f1_of, hits, labelled
from genprm.evaluate.scored import Predicted, votes_of_items
from genprm.evaluate.statistics import Floats
from genprm.types import Vote
from genprm.verdicts import THRESHOLD, VoteRule, said

SUBSETS = 2000
"""Drawn for each number of votes, where there are more; up to 12 votes there are not."""


def scaling_curve(
    run: Path, *, vote_rule: VoteRule = "mean", threshold: float = THRESHOLD, gold: Path | None = None, seed: int = 0
) -> dict[int, F1Result]:
    """F1 of Maj@n for n = 1 to the votes of the run. ``gold``: labels in place of those of the run (``gold``).

    ``threshold``: a step is called wrong where the mean of what the votes say of it is below.

    A solution's hit is the share of subsets of n votes that name its label; accuracies are the means of hits, and F1
    is taken of the accuracies. So both accuracies are unbiased; at n = 1 this F1 is at least the mean of the votes' own
    F1 that ``pass_at_1`` states (the harmonic mean is concave).

    Raises ``InputError`` for a run that is not complete: one whose votes are missing, or that stopped voting early,
    would make small n look better than it is.
    """
    (results,), _ = read_all([run], gold)
    if not results.is_run:
        raise InputError(f"{run} is a file, which keeps no votes; a curve needs the run directory of genprm verify")
    known = labelled(results)
    votes = votes_of_items(run)
    counts = {len(votes.get(one.solution.id, ())) for one in known}
    settled = {one.settled for one in results.scored}
    if counts == {0}:
        raise InputError(f"{run} keeps no votes of its own, so there is no curve; a cascade has them in its folders")
    if settled != {"all"} or len(counts) > 1:
        raise InputError(
            f"{run} is not complete (votes to a solution: {min(counts)} to {max(counts)}; settled: "
            f"{', '.join(sorted(str(one) for one in settled))}); finish it with genprm verify --settle all"
        )
    total = counts.pop()
    labels = [one.solution.label for one in known if one.solution.label is not None]
    problems = [one.problem for one in known]
    curve = {}
    for size in range(1, total + 1):
        chosen = subsets(total, size, seed)
        predicted = [subset_labels(votes[one.solution.id], chosen, vote_rule, threshold) for one in known]
        shares = hits(predicted, labels).mean(axis=1, keepdims=True)
        unknown = sum(row.count(None) for row in predicted)
        curve[size] = f1_of(shares, labels, unknown=unknown, problems=problems, seed=seed)
    return curve


def subsets(total: int, size: int, seed: int) -> Floats:
    """(subsets, total): 1 where a vote is in. All subsets of that size, or ``SUBSETS`` drawn ones."""
    if math.comb(total, size) <= SUBSETS:
        picked = list(itertools.combinations(range(total), size))
    else:
        rng = np.random.default_rng([seed, total, size])
        picked = [tuple(rng.choice(total, size, replace=False)) for _ in range(SUBSETS)]
    chosen = np.zeros((len(picked), total))
    for row, members in enumerate(picked):
        chosen[row, list(members)] = 1
    return chosen


def subset_labels(
    votes: Sequence[Vote], chosen: Floats, vote_rule: VoteRule, threshold: float = THRESHOLD
) -> list[Predicted]:
    """The label that each subset of the votes gives, as ``aggregate`` would."""
    table = np.array([[said(step, vote_rule) for step in vote.steps] for vote in votes], dtype=float)  # None: NaN
    return table_labels(table, chosen, threshold)


def table_labels(table: Floats, chosen: Floats, threshold: float = THRESHOLD) -> list[Predicted]:
    """The same of what votes say, (votes, steps); NaN where one says nothing."""
    sums, counts = chosen @ np.nan_to_num(table), chosen @ ~np.isnan(table)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    unknown = np.isnan(means)
    ends = unknown | (means < threshold)
    first = ends.argmax(axis=1)
    rows = np.arange(len(means))
    labels = np.where(ends.any(axis=1), first, -1).tolist()
    return [None if open_ else label for label, open_ in zip(labels, unknown[rows, first].tolist(), strict=True)]


def describe(curve: Mapping[int, F1Result]) -> list[list[str]]:
    """Rows of a table: votes, F1, errors found, clean accepted."""
    return [
        [str(size), *(figure.describe() for figure in (one.f1, one.error_accuracy, one.correct_accuracy))]
        for size, one in curve.items()
    ]
