"""A whole benchmark from several runs or files: its subsets, their mean, and sampling seeds.

Inputs on other solutions are subsets; inputs on the same solutions are runs with other sampling seeds. One input may
hold several subsets: a record names its own in ``subset``, or by the id that ProcessBench gave it (``gsm8k-12``).
The mean of subsets is that of their F1, each subset counting the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.gold import GoldUse, read_all
from genprm.evaluate.processbench import Report, evaluate_results, hits, labelled, with_error
from genprm.evaluate.scored import Results, Scored, require_same
from genprm.evaluate.statistics import Interval, Spread, f1_draws, interval, spread
from genprm.evaluate.thresholds import best_threshold
from genprm.verdicts import THRESHOLD

_OF_PROCESSBENCH = re.compile(r"(gsm8k|math|olympiadbench|omnimath)-\d+")


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """All subsets under one sampling seed."""

    threshold: float
    chosen_on: str | None
    """The subset that the threshold was chosen on; ``None`` where it was given."""
    subsets: Mapping[str, Report]
    mean_f1: Interval | None
    """Of the subsets; ``None`` for one."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One run, or several that differ in their sampling seed."""

    runs: tuple[BenchmarkRun, ...]
    spreads: Mapping[str, Spread]
    """F1 over runs of each subset and, under ``mean``, of their mean; empty for one run."""
    gold: GoldUse | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Part:
    results: Results
    scored: tuple[Scored, ...]

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(one.solution.id for one in self.scored)


def processbench(
    paths: Sequence[Path], *, threshold: float | Literal["first"] = THRESHOLD, gold: Path | None = None, seed: int = 0
) -> Benchmark:
    """The figures of run directories or files.

    ``threshold``: rewards below it say that a step is wrong; ``first``: the one with the highest F1 on the first
    subset, for all of them. ``gold``: labels in place of those of the runs (``gold``). Raises ``InputError``.
    """
    results, use = read_all(paths, gold)
    seeds = _by_seed([part for result in results for part in _parts(result)])
    runs = tuple(_figures(subsets, threshold, seed) for subsets in seeds)
    if len(runs) == 1:
        return Benchmark(runs, {}, use)
    spreads = {name: spread([run.subsets[name].maj.f1.value for run in runs]) for name in runs[0].subsets}
    means = [run.mean_f1.value for run in runs if run.mean_f1 is not None]
    return Benchmark(runs, {**spreads, "mean": spread(means)} if means else spreads, use)


def _parts(results: Results) -> list[tuple[str, _Part]]:
    """(subset, its results), in the order of appearance."""
    found: dict[str, list[Scored]] = {}
    for one in results.scored:
        found.setdefault(_subset(one, results.path), []).append(one)
    return [(name, _Part(results, tuple(scored))) for name, scored in found.items()]


def _subset(one: Scored, path: Path) -> str:
    named = one.solution.extra.get("subset")
    if isinstance(named, str) and named:
        return named
    known = _OF_PROCESSBENCH.fullmatch(one.solution.id)
    return known[1] if known else path.name if path.is_dir() else path.stem


def _by_seed(parts: Sequence[tuple[str, _Part]]) -> list[dict[str, _Part]]:
    """The subsets of each run: the i-th input on the same solutions belongs to run i."""
    groups: dict[frozenset[str], tuple[str, list[_Part]]] = {}
    for name, part in parts:
        same = groups.setdefault(part.ids, (name, []))[1]
        same.append(part)
        known = {one.solution.id: one for one in same[0].scored}
        for one in part.scored:
            require_same(same[0].results, known[one.solution.id], part.results, one, "processbench")
    seen: dict[str, Path] = {}
    for ids, (_, same) in groups.items():
        path = same[0].results.path
        if shared := sorted(ids & seen.keys()):
            raise InputError(
                f"{seen[shared[0]]} and {path} share some solutions ('{shared[0]}') and not all; "
                "give runs of the same solutions for seeds, or of others for subsets"
            )
        seen |= dict.fromkeys(ids, path)
    counts = {len(same) for _, same in groups.values()}
    if len(counts) > 1:
        raise InputError(
            f"subsets have different numbers of runs ({', '.join(str(len(s)) for _, s in groups.values())}); "
            "give as many runs of each"
        )
    names = _distinct([name for name, _ in groups.values()])
    found = [same for _, same in groups.values()]
    return [{name: same[run] for name, same in zip(names, found, strict=True)} for run in range(counts.pop())]


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that were there before with a number."""
    return [name if names.index(name) == place else f"{name}-{place + 1}" for place, name in enumerate(names)]


def _figures(subsets: Mapping[str, _Part], threshold: float | Literal["first"], seed: int) -> BenchmarkRun:
    first = next(iter(subsets))
    value = _chosen(subsets[first]) if threshold == "first" else threshold
    reports = {
        name: evaluate_results(part.results, part.scored, threshold=value, seed=seed) for name, part in subsets.items()
    }
    mean = _mean_f1(list(subsets.values()), value, seed) if len(subsets) > 1 else None
    return BenchmarkRun(value, first if threshold == "first" else None, reports, mean)


def _chosen(part: _Part) -> float:
    known = labelled(part.results, part.scored)
    for one in known:
        if one.rewards is None:
            raise part.results.fail(one, "reward", "must be a list with one number per step, to choose a threshold by")
    return best_threshold([one.rewards or () for one in known], [one.solution.label or 0 for one in known])


def _mean_f1(parts: Sequence[_Part], threshold: float, seed: int) -> Interval:
    """The mean of the subsets' F1, with each resampled for itself."""
    points, draws = [], []
    for place, part in enumerate(parts):
        known = labelled(part.results, part.scored)
        labels = [one.solution.label for one in known if one.solution.label is not None]
        table = hits([[one.predicted(threshold)] for one in known], labels)
        problems = [one.problem for one in known]
        point, drawn = f1_draws(table, with_error(labels), problems=problems, seed=(seed, place))
        points.append(point)
        draws.append(drawn)
    return interval(float(np.mean(points)), np.mean(draws, axis=0)).times(100)
