"""PRMBench (arXiv 2501.03124): is every step judged rightly, by category of error?

A solution with an error names all its wrong steps in ``error_steps`` (0-based) and its category in ``classification``;
``label`` is the first of them. The solution that it was made from has no error. As PRMBench counts, the figures of all
categories together are over the solutions that were made for it: those with an error, and second right solutions
(``multi_solutions``). The ones that they were made from are a category of their own, ``correct``. genprm verify reads
PRMBench's own rows.

Steps whose reward is at least the threshold are called right. With right steps as the positive class and TP, FP, TN, FN
summed over steps: F1 = 2 TP / (2 TP + FP + FN), negative F1 = 2 TN / (2 TN + FN + FP), PRMScore = (F1 + negative F1)/2,
accuracy = (TP + TN) / all, first error = share of solutions whose first wrong step is called wrong. A quotient whose
divisor is 0 is 0. A step without reward is called what it is not. Intervals resample problems: a pair stays together.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.gold import GoldUse, read_all
from genprm.evaluate.scored import Results, Scored, require_same_input
from genprm.evaluate.statistics import Floats, Interval, Ints, Spread, intervals, ratio, spread, units
from genprm.verdicts import THRESHOLD

CORRECT = "correct"
"""The category of solutions without an error."""
MADE_RIGHT = "multi_solutions"
"""PRMBench's category of solutions that were made without an error: of these a verifier must not be wary."""
FIGURES = ("prm_score", "f1", "negative_f1", "accuracy", "first_error")


@dataclass(frozen=True, slots=True)
class Category:
    """The figures of one category, in per cent."""

    solutions: int
    steps: int
    wrong_steps: int
    unjudged: int
    """Steps without a reward."""
    prm_score: Interval
    f1: Interval
    negative_f1: Interval
    accuracy: Interval
    first_error: Interval | None
    """``None`` without errors."""


@dataclass(frozen=True, slots=True)
class PRMBenchRun:
    """One run or file."""

    source: str
    beyond: int
    """Solutions that name a wrong step behind their last one."""
    pairs: int
    """Units of resampling with a solution that was made for PRMBench and one that it was made from; see ``pair_of``."""
    overall: Category
    categories: Mapping[str, Category]


@dataclass(frozen=True, slots=True)
class PRMBench:
    """One run, or several that differ in their sampling seed."""

    runs: tuple[PRMBenchRun, ...]
    spreads: Mapping[str, Mapping[str, Spread]]
    """By category (``overall`` among them) and figure; empty for one run."""
    gold: GoldUse | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def prmbench(
    paths: Sequence[Path], *, threshold: float = THRESHOLD, gold: Path | None = None, seed: int = 0
) -> PRMBench:
    """The figures of run directories or files on the same solutions. ``gold``: wrong steps in place of those of the
    runs (``gold``). Raises ``InputError``."""
    results, use = read_all(paths, gold)
    for other in results[1:]:
        require_same_input(results[0], other, "prmbench")
    runs = tuple(_run(result, threshold, seed) for result in results)
    if len(runs) == 1:
        return PRMBench(runs, {}, use)
    every = [{"overall": run.overall, **run.categories} for run in runs]
    return PRMBench(runs, {name: _spreads([one[name] for one in every]) for name in every[0]}, use)


def _run(results: Results, threshold: float, seed: int) -> PRMBenchRun:
    table = counts_of(results, threshold)
    names = categories(results, table)
    chosen = [name != CORRECT for name in names]
    problems = [pair_of(one) for one in results.scored]
    made = {problem for problem, is_made in zip(problems, chosen, strict=True) if is_made}
    given = {problem for problem, is_made in zip(problems, chosen, strict=True) if not is_made}

    def figures(member: Sequence[bool]) -> Category:
        places = np.flatnonzero(member)
        return _figures(table[places], [problems[place] for place in places], seed)

    by_name = {name: figures([own == name for own in names]) for name in sorted(set(names), key=_last_if_correct)}
    beyond = sum(
        any(step >= len(one.solution.steps) for step in one.solution.extra.get("error_steps") or ())
        for one in results.scored
    )
    return PRMBenchRun(str(results.path), beyond, len(made & given), figures(chosen), by_name)


def counts_of(results: Results, threshold: float = THRESHOLD) -> Ints:
    """(solutions, 7): what each solution adds to the sums. Raises ``InputError`` where no solution has an error."""
    table = np.array([_counts(results, one, error_steps(results, one), threshold) for one in results.scored])
    if not table[:, WITH_ERROR].any():
        raise InputError(f"{results.path}: no solution has 'error_steps'; PRMBench's figures are of solutions with one")
    return table


def categories(results: Results, table: Ints) -> list[str]:
    """Of each solution; ``CORRECT`` for those that were not made for PRMBench. ``table``: what ``counts_of`` gave."""
    return [_category(one, bool(row[WITH_ERROR])) for one, row in zip(results.scored, table, strict=True)]


def pair_of(one: Scored) -> Hashable:
    """What a solution with an error and the one that it was made from share: ``problem_id``, or their ids but for the
    ending. Where there is neither, the problem; its text may differ within a pair, since some categories change it."""
    if one.solution.problem_id:
        return one.solution.problem_id
    stem, _, ending = one.solution.id.rpartition("-")
    return stem if ending in ("modified", "original") and stem else one.problem


def error_steps(results: Results, one: Scored) -> tuple[int, ...]:
    """The wrong steps, 0-based and in order. Raises ``RecordError`` where the record does not say.

    A few rows of PRMBench name a step behind the last one: it is left out, as PRMBench's own count leaves it out.
    """
    found = one.solution.extra.get("error_steps")
    steps = len(one.solution.steps)
    if found is None and one.solution.label == -1:
        return ()
    if not isinstance(found, list) or not all(isinstance(step, int) and not isinstance(step, bool) for step in found):
        raise results.fail(one, "error_steps", "is missing or no list of whole numbers; give all wrong steps, from 0")
    if any(step < 0 for step in found):
        raise results.fail(one, "error_steps", f"holds {min(found)}; give the indices of wrong steps, from 0")
    if one.solution.label is not None and one.solution.label != min(found, default=-1):
        raise results.fail(
            one, "error_steps", f"begins with {min(found, default=-1)}, but 'label' is {one.solution.label}; mend one"
        )
    return tuple(sorted({step for step in found if step < steps}))


TP, FP, TN, FN, WITH_ERROR, FIRST, UNJUDGED = range(7)


def _counts(results: Results, one: Scored, wrong: Sequence[int], threshold: float) -> list[int]:
    """TP, FP, TN, FN, whether there is an error, whether the first one is found, and steps without reward."""
    if one.rewards is None:
        raise results.fail(one, "reward", "must be a list with one number per step")
    counts = [0] * 7
    for step, reward in enumerate(one.rewards):
        is_wrong = step in wrong
        called_right = is_wrong if reward is None else reward >= threshold
        counts[(FP if is_wrong else TP) if called_right else (TN if is_wrong else FN)] += 1
        counts[UNJUDGED] += reward is None
        counts[FIRST] += bool(wrong) and step == wrong[0] and not called_right
    counts[WITH_ERROR] = int(bool(wrong))
    return counts


def _figures(table: Ints, problems: Sequence[Any], seed: int) -> Category:
    erroneous = table[:, WITH_ERROR] > 0
    found = units(len(table), erroneous, problems)
    sums = found.sums(table.astype(float))
    points, draws = figures_of(sums.sum(axis=0)[None]), figures_of(found.draws(sums, seed=seed))
    known = dict(zip(FIGURES, (one.times(100) for one in intervals(points[0], draws)), strict=True))
    return Category(
        solutions=len(table),
        steps=int(table[:, [TP, FP, TN, FN]].sum()),
        wrong_steps=int(table[:, [FP, TN]].sum()),
        unjudged=int(table[:, UNJUDGED].sum()),
        prm_score=known["prm_score"],
        f1=known["f1"],
        negative_f1=known["negative_f1"],
        accuracy=known["accuracy"],
        first_error=known["first_error"] if erroneous.any() else None,
    )


def figures_of(sums: Floats) -> Floats:
    """(rows, figures): ``FIGURES`` as shares of sums of counts (rows, 7)."""
    tp, fp, tn, fn, with_error, first, _ = sums.T
    positive, negative = ratio(2 * tp, 2 * tp + fp + fn), ratio(2 * tn, 2 * tn + fn + fp)
    accuracy = ratio(tp + tn, tp + fp + tn + fn)
    return np.stack([(positive + negative) / 2, positive, negative, accuracy, ratio(first, with_error)], axis=1)


def _category(one: Scored, erroneous: bool) -> str:
    named = one.solution.extra.get("classification")
    if not erroneous:
        return MADE_RIGHT if named == MADE_RIGHT else CORRECT
    return named if isinstance(named, str) and named else "error"


def _last_if_correct(name: str) -> tuple[bool, str]:
    return (name == CORRECT, name)


def _spreads(of: Sequence[Category]) -> dict[str, Spread]:
    found = {}
    for name in FIGURES:
        values = [figure.value for one in of if (figure := getattr(one, name)) is not None]
        if len(values) == len(of):
            found[name] = spread(values)
    return found
