"""Best-of-N: how often the answer that rewards select is right, for every N' <= N from one set of samples.

The figures of N' are expectations over all choices of N' of a problem's n samples (``estimators``, ``voting``), in per
cent, averaged over problems. Intervals resample problems with all their samples.

    pass                       some sample of N' is right: 1 - C(n - c, N') / C(n, N'), c of n right
    majority                   the answer that most of the N' samples give
    min, mean, product, last   the sample with the highest score under this aggregation of its step rewards, tied ones
                               as likely as each other; ``reward`` where a sample has one number
    weighted                   the answer with the largest sum of scores
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.calibration import Calibration
from genprm.evaluate.diagnostics import answer_calibration, last_minimum
from genprm.evaluate.estimators import best_of, pass_at, whole_weights
from genprm.evaluate.gold import GoldUse, read_all
from genprm.evaluate.samples import Samples, collect, same_answers_in, same_problems, scored_mask
from genprm.evaluate.scored import Results
from genprm.evaluate.statistics import (
    RESAMPLES,
    Floats,
    Interval,
    Spread,
    intervals,
    mean_interval,
    ratio,
    spread,
    units,
)
from genprm.evaluate.voting import vote

Curves = Mapping[str, tuple[Interval, ...]]


@dataclass(frozen=True, slots=True)
class BestOfN:
    """The figures of one run or file, in per cent."""

    source: str
    problems: int
    samples: int
    sizes: tuple[int, ...]
    """The numbers N'."""
    mean: Interval
    """Of single samples."""
    curves: Curves
    """A figure for each of ``sizes``, by method."""
    without_answer: int
    """Samples that vote for nothing."""
    without_score: int
    """Samples with a step that nobody judged: selected only where all samples are such, and without weight."""
    weights: str | None
    """What the weighted vote sums; ``None``: a reward is below 0, and a vote cannot weigh less than nothing."""
    right_with_wrong_step: Curves
    """Of the right answers that are selected: per cent with a wrong step, by method; where labels are known."""
    last_minimum: Interval | None
    """See ``diagnostics.last_minimum``; ``None`` where steps have no rewards."""
    calibration: Mapping[str, Calibration]
    """Of each score as the chance that the answer is right; where scores lie in [0, 1]."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BestOfNRuns:
    """One run, or several on the same problems that differ in their sampling seed."""

    runs: tuple[BestOfN, ...]
    mean: Spread | None
    curves: Mapping[str, tuple[Spread, ...]]
    """Mean and standard deviation over runs; empty for one run."""
    gold: GoldUse | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def best_of_n(
    paths: Sequence[Path], *, n: int | None = None, weights: str | None = None, gold: Path | None = None,
    seed: int = 0, resamples: int = RESAMPLES,
) -> BestOfNRuns:  # fmt: skip
    """The figures of run directories or files on the same problems, for N' = 1 to ``n``.

    ``n``: at most the samples of the problem with the fewest, which is the default. ``weights``: the aggregation that
    the weighted vote sums, where steps have rewards (``min``). ``gold``: answers in place of those of the runs
    (``gold``). Raises ``InputError``.
    """
    if n is not None and n < 1:
        raise InputError(f"n is {n}; it must be at least 1")
    results, use = read_all(paths, gold)
    sampled = [collect(one, n or 1) for one in results]
    same_problems(sampled, [str(path) for path in paths])
    for other in results[1:]:
        same_answers_in(results[0], other)
    largest = n or min(one.correct.shape[1] for run in sampled for one in run)
    sizes = tuple(range(1, largest + 1))
    runs = tuple(
        _figures(result, one, sizes, weights, seed, resamples) for result, one in zip(results, sampled, strict=True)
    )
    if len(runs) == 1:
        return BestOfNRuns(runs, None, {}, use)
    curves = {
        name: tuple(spread([run.curves[name][place].value for run in runs]) for place in range(len(sizes)))
        for name in runs[0].curves
        if all(name in run.curves for run in runs)
    }
    return BestOfNRuns(runs, spread([run.mean.value for run in runs]), curves, use)


def _figures(
    results: Results, sampled: Sequence[Samples], sizes: tuple[int, ...], weights: str | None, seed: int, resamples: int
) -> BestOfN:
    summed = _weights(sampled, str(results.path), weights)
    parts = [methods(one, sizes, summed, seed=seed) for one in sampled]
    tables = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    means = np.concatenate([one.correct.mean(axis=1) for one in sampled])
    whole = [float(value) for one in sampled for value in one.correct.ravel()]
    return BestOfN(
        source=str(results.path),
        problems=len(means),
        samples=len(whole),
        sizes=sizes,
        mean=mean_interval(means, seed=seed, resamples=resamples).times(100),
        curves=_curves(tables, seed, resamples),
        without_answer=sum(int((one.answers < 0).sum()) for one in sampled),
        without_score=sum(int((~scored_mask(one)).sum()) for one in sampled),
        weights=summed,
        right_with_wrong_step=_wrong_steps(sampled, sizes, seed, resamples),
        last_minimum=last_minimum(results.scored, seed=seed, resamples=resamples),
        calibration=answer_calibration(sampled),
    )


def methods(samples: Samples, sizes: Sequence[int], weights: str | None, *, seed: int = 0) -> dict[str, Floats]:
    """(problems, sizes) of every method: the expected correctness of what it selects from N' samples."""
    sizes, rightness = list(sizes), samples.rightness
    found = {
        "pass": pass_at(samples.correct, sizes),
        "majority": vote(samples.answers, np.ones_like(samples.answers), rightness, sizes, seed=seed),
    }
    found |= {name: best_of(scores, samples.correct, sizes) for name, scores in samples.scores.items()}
    if weights is not None:
        weighed = whole_weights(np.nan_to_num(samples.scores[weights]))
        found["weighted"] = vote(samples.answers, weighed, rightness, sizes, seed=seed)
    return found


def _weights(sampled: Sequence[Samples], source: str, wanted: str | None) -> str | None:
    names = list(sampled[0].scores)
    if names == ["reward"] and wanted is not None:
        raise InputError(f"{source}: a solution has one reward, which the weighted vote sums; leave --weights out")
    name = wanted or ("reward" if "reward" in names else "min")
    if name not in names:
        raise InputError(f"there is no aggregation '{name}'; it must be one of {', '.join(names)}")
    return None if any((one.scores[name] < 0).any() for one in sampled) else name


def _curves(tables: Mapping[str, Floats], seed: int, resamples: int) -> dict[str, tuple[Interval, ...]]:
    """The means over problems with their intervals, of all methods on the same resamples."""
    together = np.concatenate(list(tables.values()), axis=1)
    count = len(together)
    draws = units(count).draws(together, seed=seed, resamples=resamples) / count
    found = iter(one.times(100) for one in intervals(together.mean(axis=0), draws))
    return {name: tuple(next(found) for _ in range(table.shape[1])) for name, table in tables.items()}


def _wrong_steps(sampled: Sequence[Samples], sizes: Sequence[int], seed: int, resamples: int) -> Curves:
    """E[selected, right, with a wrong step] / E[selected, right], both summed over problems; empty where the label of
    a right solution is unknown, or no solution is right."""
    right = np.concatenate([one.correct.ravel() for one in sampled]) > 0
    wrong = np.concatenate([one.wrong_step.ravel() for one in sampled])
    if not right.any() or np.isnan(wrong[right]).any():
        return {}
    found = {}
    for name in sampled[0].scores:
        both = np.concatenate(
            [
                np.concatenate(
                    [
                        best_of(one.scores[name], one.correct * np.nan_to_num(one.wrong_step), sizes),
                        best_of(one.scores[name], one.correct, sizes),
                    ],
                    axis=1,
                )
                for one in sampled
            ]
        )
        draws = units(len(both)).draws(both, seed=seed, resamples=resamples)
        width, sums = len(sizes), both.sum(axis=0)
        shares = intervals(ratio(sums[:width], sums[width:]), ratio(draws[:, :width], draws[:, width:]))
        found[name] = tuple(one.times(100) for one in shares)
    return found
