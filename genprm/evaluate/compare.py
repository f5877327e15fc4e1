"""Do two verifiers differ on the same input? Flipped items, the paired difference, its interval and its p-value.

What is compared depends on the input: ProcessBench F1 where solutions have labels (accuracy, if all of them have an
error or none has), PRMScore if asked for, else the accuracy of best-of-N with all samples of a problem. The interval
resamples problems with both systems; p is of a permutation per problem (``permutation``), adjusted by Holm's method
where there are more than two systems.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.estimators import best_of
from genprm.evaluate.permutation import holm, permutation_p
from genprm.evaluate.prmbench import CORRECT, FN, FP, categories, counts_of, figures_of, pair_of
from genprm.evaluate.processbench import hits, labelled, with_error
from genprm.evaluate.samples import collect
from genprm.evaluate.scored import Bench, Results, Scored, read_results, require_same_input
from genprm.evaluate.statistics import Bools, Floats, Interval, f1, interval, ratio, units
from genprm.verdicts import THRESHOLD


@dataclass(frozen=True, slots=True)
class Measured:
    """One system on all items."""

    items: tuple[str, ...]
    """Ids of solutions, or problems for best-of-N."""
    right: Floats
    """(items,): how right the system is, in [0, 1]."""
    table: Floats
    """(items, columns): what adds up to the figure."""
    figure: Callable[[Floats], Floats]
    """(rows, columns) of sums to (rows,) of figures in [0, 1]."""
    name: str
    problems: Sequence[Hashable]
    erroneous: Bools | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems."""

    first: str
    second: str
    difference: Interval
    """First minus second, in points."""
    p: float
    p_holm: float | None
    """Adjusted for the number of pairs; ``None`` for one pair."""
    only_first: tuple[str, ...]
    """Items on which the first system is right, or more so, and the second is not."""
    only_second: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems or more on the same input."""

    bench: Bench
    figure: str
    items: int
    systems: tuple[tuple[str, float], ...]
    """(path, figure in per cent)."""
    pairs: tuple[Pair, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    paths: Sequence[Path], *, bench: Bench | None = None, aggregation: str = "min", threshold: float = THRESHOLD,
    seed: int = 0,
) -> Comparison:  # fmt: skip
    """Compare run directories or files on the same input. ``aggregation``: of best-of-N, where steps have rewards.

    Raises ``InputError``.
    """
    if len(paths) < 2:
        raise InputError("a comparison needs two runs or files on the same input; give another one")
    results = [read_results(path) for path in paths]
    with_labels = any(one.solution.label is not None for result in results for one in result.scored)
    chosen = bench or ("processbench" if with_labels else "best-of-n")
    for other in results[1:]:
        require_same_input(results[0], other, chosen)
    measured = [_measured(result, chosen, aggregation, threshold) for result in results]
    pairs = [
        _pair((str(paths[a]), measured[a]), (str(paths[b]), measured[b]), seed)
        for a, b in itertools.combinations(range(len(paths)), 2)
    ]
    adjusted = holm([pair.p for pair in pairs]) if len(pairs) > 1 else (None,)
    return Comparison(
        bench=chosen,
        figure=measured[0].name,
        items=len(measured[0].items),
        systems=tuple((str(path), 100 * _value(one)) for path, one in zip(paths, measured, strict=True)),
        pairs=tuple(replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)),
    )


def _measured(results: Results, bench: Bench, aggregation: str, threshold: float) -> Measured:
    ordered = Results(results.path, tuple(sorted(results.scored, key=lambda one: one.solution.id)), results.is_run)
    if bench == "processbench":
        return _on_labels(ordered, threshold)
    return _on_steps(ordered, threshold) if bench == "prmbench" else _best_of_n(ordered, aggregation)


def _on_labels(results: Results, threshold: float) -> Measured:
    known = labelled(results)
    labels = [one.solution.label for one in known if one.solution.label is not None]
    hit, wrong = hits([[one.predicted(threshold)] for one in known], labels), with_error(labels)
    columns = [hit[:, 0] * wrong, wrong, hit[:, 0] * ~wrong, ~wrong]
    both = wrong.any() and not wrong.all()

    def figure(sums: Floats) -> Floats:
        errors, error_count, clean, clean_count = sums.T
        if both:
            return f1(ratio(errors, error_count), ratio(clean, clean_count))
        return ratio(errors + clean, error_count + clean_count)

    return _of_solutions(
        known, hit[:, 0], np.stack(columns, axis=1).astype(float), figure, wrong, "F1" if both else "accuracy"
    )


def _on_steps(results: Results, threshold: float) -> Measured:
    counts = counts_of(results, threshold)
    chosen = np.flatnonzero([name != CORRECT for name in categories(results, counts)])
    table = counts[chosen].astype(float)
    right = (table[:, FP] + table[:, FN] == 0).astype(float)
    known = [results.scored[place] for place in chosen]
    measured = _of_solutions(known, right, table, lambda sums: figures_of(sums)[:, 0], None, "PRMScore")
    return replace(measured, problems=[pair_of(one) for one in known])


def _of_solutions(
    known: Sequence[Scored], right: Floats, table: Floats, figure: Callable[[Floats], Floats], erroneous: Bools | None,
    name: str,
) -> Measured:  # fmt: skip
    ids = tuple(one.solution.id for one in known)
    return Measured(ids, right, table, figure, name, [one.problem for one in known], erroneous)


def _best_of_n(results: Results, aggregation: str) -> Measured:
    names: list[str] = []
    values: list[float] = []
    for samples in collect(results):
        scores = samples.scores.get("reward", samples.scores.get(aggregation))
        if scores is None:
            raise InputError(f"there is no aggregation '{aggregation}'; it must be one of {', '.join(samples.scores)}")
        names += samples.problems
        values += best_of(scores, samples.correct, [samples.correct.shape[1]])[:, 0].tolist()
    order = sorted(range(len(names)), key=names.__getitem__)
    right = np.array([values[place] for place in order])
    items = tuple(names[place] for place in order)
    table = np.stack([right, np.ones(len(right))], axis=1)
    return Measured(items, right, table, lambda sums: ratio(sums[:, 0], sums[:, 1]), "best-of-N accuracy", items, None)


def _value(one: Measured) -> float:
    return float(one.figure(one.table.sum(axis=0)[None])[0])


def _pair(first: tuple[str, Measured], second: tuple[str, Measured], seed: int) -> Pair:
    (name, a), (other, b) = first, second
    found = units(len(a.items), a.erroneous, a.problems)
    tables = found.sums(a.table), found.sums(b.table)
    draws = found.draws(np.concatenate(tables, axis=1), seed=seed)
    width = a.table.shape[1]
    differences = a.figure(draws[:, :width]) - a.figure(draws[:, width:])
    return Pair(
        first=name,
        second=other,
        difference=interval(_value(a) - _value(b), differences).times(100),
        p=permutation_p(*tables, a.figure, seed=seed),
        p_holm=None,
        only_first=tuple(item for item, own, theirs in zip(a.items, a.right, b.right, strict=True) if own > theirs),
        only_second=tuple(item for item, own, theirs in zip(a.items, a.right, b.right, strict=True) if own < theirs),
    )
