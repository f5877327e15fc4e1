"""How right each label rule and each consensus is, against the hidden truth of the micro-world.

``python tests/benchmarks/micro_table.py RUN [RUN ...] [--large RUN ...] [--out DIR]``

``RUN`` is the folder of a finished ``genprm run recipes/micro.yaml``, one for each seed. Every row says, of the
solutions that a rule keeps: how often its first error is the true one (-1 for none counts), precision and recall of
"this step is wrong" for the first error, and the share of solutions kept; mean and standard deviation over the seeds.
Rows that end in "as many" keep as many solutions as a published rule does, so that they can be compared.
With ``--large``, rollouts of the same solutions with many completions: Brier score of soft and entropy labels against
the success probability that these show.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.curate import Counts, label_arrays
from genprm.curate.assembly import assemble, known
from genprm.curate.consensus import (
    Believed,
    GenPRMConsensus,
    LessonsConsensus,
    SiblingConsensus,
    annotator_index,
    columns,
    sources,
)
from genprm.curate.evidence import Candidate
from genprm.curate.job import UNITS, read_rollout_run, read_samples
from genprm.curate.labels import UNKNOWN
from genprm.curate.options import Curation
from genprm.curate.posterior import Posterior, first_errors
from genprm.records import read_rollouts
from genprm.records.lines import read_lines
from genprm.types import Rollout
from tests.benchmarks.measure import finish, table

HARD = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
ETAS = (2.0, 10.0)
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule says: a first error of each solution, ``UNKNOWN`` for those that it does not keep."""

    name: str
    index: Ints

    def figures(self, truth: Ints) -> dict[str, float]:
        kept = self.index != UNKNOWN
        said, true = self.index[kept], truth[kept]
        hits = float(((said == true) & (true >= 0)).sum())
        return {
            "first error right": float((said == true).mean()) if kept.any() else float("nan"),
            "precision": hits / max(1, (said >= 0).sum()),
            "recall": hits / max(1, (true >= 0).sum()),
            "kept": float(kept.mean()),
            "wrong labels": float((said != true).sum()),
        }


@dataclass(frozen=True, slots=True)
class Seed:
    """One run under one completer."""

    candidates: tuple[Candidate, ...]
    counts: Counts
    truth: Ints


def read(run: Path, completer: str) -> Seed:
    """``completer``: the stage whose rollouts count."""
    rollouts = tuple(read_rollouts(run / completer / "rollouts.jsonl"))
    counted = {one.id for one in rollouts}
    solutions = [one for one in read_rollout_run(run / "truth")[0] if one.id in counted]
    before = known(solutions, rollouts, Curation(consensus="none"), read_samples(run / "truth"))
    units = [_units(run / "data" / UNITS[task]) for task in ("annotator", "judge")]
    candidates = assemble(solutions, before, units[0], units[1], None).candidates
    return Seed(candidates, columns(candidates), np.array([one.solution.label for one in candidates]))


def _units(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, unit in sorted(read_lines(path), key=lambda pair: pair[1]["n"]):
        found[unit["id"]].append(unit)
    return found


def rules(seed: Seed) -> Iterator[Rule]:
    """Every rule, each group in the order of the table."""
    for threshold in HARD:
        yield Rule(f"hard > {threshold:g}", label_arrays(seed.counts, "hard", threshold=threshold).first_errors())
    progress = label_arrays(seed.counts, "rpe_ratio")
    yield Rule("RPE, ratio >= 0.8", progress.first_errors())
    yield Rule("RPE, difference >= -0.3", label_arrays(seed.counts, "rpe_difference").first_errors())
    yield Rule("annotator", _indices(annotator_index(one).index for one in seed.candidates))
    yield Rule("judge", _indices(one.judge for one in seed.candidates))
    yield Rule("other samples (ours)", _indices(one.siblings for one in seed.candidates))
    genprm = _agreed(GenPRMConsensus(), seed.candidates)
    hard = [_with_labels(one, label) for one, label in zip(seed.candidates, _hard(seed.counts), strict=True)]
    lessons = _agreed(LessonsConsensus(), hard)
    siblings = _agreed(SiblingConsensus(), seed.candidates)
    said = sources(seed.candidates)
    belief = first_errors(seed.counts, said)
    yield Rule("GenPRM consensus", genprm)
    yield Rule("GenPRM consensus, all steps", _agreed(GenPRMConsensus("all"), seed.candidates))
    yield Rule("siblings consensus (ours)", siblings)
    yield Rule("siblings consensus, as many (ours)", _as_many(siblings, belief, genprm))
    without = {name: votes for name, votes in said.items() if name == "annotator"}
    yield Rule("belief, counts and annotator, as many (ours)", _likeliest(first_errors(seed.counts, without), genprm))
    yield Rule("belief, as many as GenPRM (ours)", _likeliest(belief, genprm))
    yield Rule("Lessons consensus (hard, judge)", lessons)
    yield Rule("belief, as many as Lessons (ours)", _likeliest(belief, lessons))
    three = np.where((genprm == lessons) & (genprm != UNKNOWN), genprm, UNKNOWN)
    yield Rule("RPE, hard, annotator and judge agree", three)
    yield Rule("siblings consensus, as many as all agree (ours)", _as_many(siblings, belief, three))
    yield Rule("belief, as many as all agree (ours)", _likeliest(belief, three))
    yield Rule("belief >= 0.9 (ours)", _agreed(Believed(0.9), seed.candidates))


def _likeliest(found: Posterior, like: Ints) -> Ints:
    """The first errors with the highest probability, as many as ``like`` keeps."""
    return _best(found.index, found.belief, like)


def _as_many(agreed: Ints, found: Posterior, like: Ints) -> Ints:
    """Of what a consensus keeps the likeliest, as many as ``like`` keeps."""
    longest = found.probabilities.shape[1] - 1
    place = np.where(agreed >= 0, agreed, longest)
    probability = np.where(agreed == UNKNOWN, -1.0, found.probabilities[np.arange(len(place)), place])
    return _best(agreed, probability, like)


def _best(index: Ints, probability: NDArray[np.float64], like: Ints) -> Ints:
    chosen = np.argsort(-probability, kind="stable")[: int((like != UNKNOWN).sum())]
    kept = np.full(len(like), UNKNOWN)
    kept[chosen] = index[chosen]
    return kept


def _agreed(stage: Any, candidates: Sequence[Candidate]) -> Ints:
    return _indices(one.agreed if isinstance(one, Candidate) else None for one in stage.apply(candidates).each)


def _indices(found: Iterable[int | None]) -> Ints:
    return np.array([UNKNOWN if index is None else index for index in found])


def _hard(counts: Counts) -> list[tuple[int | None, ...]]:
    return [tuple(None if v is None else int(v) for v in one.values) for one in label_arrays(counts, "hard").records()]


def _with_labels(candidate: Candidate, labels: tuple[int | None, ...]) -> Candidate:
    return replace(candidate, labels=labels)


def _sorted(rollouts: Iterable[Rollout]) -> list[Rollout]:
    return sorted(rollouts, key=lambda one: (one.id, one.step))


def _calibration_error(given: NDArray[np.float64], truth: NDArray[np.float64], bins: int = 10) -> float:
    """Expected calibration error: bins of equal width, weighted by what is in them."""
    place = np.minimum((given * bins).astype(int), bins - 1)
    gaps = [abs((given - truth)[place == one].sum()) for one in range(bins)]
    return float(sum(gaps) / len(given))


def values(run: Path, large: Path, completer: str) -> dict[str, float]:
    """Brier score of soft and entropy labels, and how far they lie from the truth on average, by rollouts of many."""
    solutions, _ = read_rollout_run(run / "truth")
    lengths = {one.id: len(one.steps) for one in solutions}
    many = Counts.from_rollouts(_sorted(read_rollouts(large / "rollouts.jsonl")))
    names = set(many.ids) | set(many.problem_ids)
    few = Counts.from_rollouts(
        _sorted(one for one in read_rollouts(run / completer / "rollouts.jsonl") if one.id in names),
        steps={name: lengths[name] for name in many.ids},
    )
    assert few.ids == many.ids
    inner = ~many.last
    truth = (many.correct / many.total)[inner]
    found = {}
    for name, rule, parameters in (
        ("soft", "soft", {}),
        *((f"entropy, eta {eta:g}", "entropy", {"eta": eta}) for eta in ETAS),
    ):
        given = label_arrays(few, rule, **parameters).values[inner]
        noise = truth * (1 - truth)
        found[f"{name}: Brier"] = float(((given - truth) ** 2 + noise).mean())
        found[f"{name}: calibration error"] = _calibration_error(given, truth)
        found[f"{name}: bias"] = float((given - truth).mean())
    found["truth itself: Brier"] = float((truth * (1 - truth)).mean())
    return found


OWN = (
    ("other samples (ours)", "RPE, ratio >= 0.8"),
    ("siblings consensus, as many (ours)", "GenPRM consensus"),
    ("belief, as many as GenPRM (ours)", "GenPRM consensus"),
    ("belief, counts and annotator, as many (ours)", "GenPRM consensus"),
    ("belief, as many as Lessons (ours)", "Lessons consensus (hard, judge)"),
    ("siblings consensus, as many as all agree (ours)", "RPE, hard, annotator and judge agree"),
    ("belief, as many as all agree (ours)", "RPE, hard, annotator and judge agree"),
)
"""Rows of ours, and the published ones that keep as many."""


def fewer(
    seeds: Sequence[Seed], ruled: Sequence[Mapping[str, Rule]], own: str, other: str, resamples: int = 10_000
) -> list[str]:
    """How many per cent fewer wrong labels ``own`` has: each seed, and all together with an interval that resamples
    problems within each seed, both rules on the same ones."""
    rng = np.random.default_rng(0)
    each, drawn = [], np.zeros((2, resamples))
    for seed, found in zip(seeds, ruled, strict=True):
        problems = np.unique([one.problem_key for one in seed.candidates], return_inverse=True)[1]
        pair = (found[own].index, found[other].index)
        wrong = np.stack([np.bincount(problems, (one != UNKNOWN) & (one != seed.truth)) for one in pair])
        each.append(100 * (1 - wrong[0].sum() / wrong[1].sum()))
        weights = rng.multinomial(wrong.shape[1], np.full(wrong.shape[1], 1 / wrong.shape[1]), size=resamples)
        drawn += wrong @ weights.T
    low, high = np.percentile(100 * (1 - drawn[0] / drawn[1]), (2.5, 97.5))
    mean, std = float(np.mean(each)), float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
    per_seed = " / ".join(f"{one:.0f}" for one in each)
    return [own, other, f"{mean:.1f} ± {std:.1f}", f"[{low:.1f}, {high:.1f}]", per_seed]


def summary(name: str, found: Sequence[Mapping[str, float]]) -> list[str]:
    cells = [name]
    for key in ("first error right", "precision", "recall", "kept"):
        some = 100 * np.array([one[key] for one in found])
        cells.append(f"{some.mean():.1f} ± {some.std(ddof=1):.1f}" if len(some) > 1 else f"{some.mean():.1f}")
    return [*cells, " / ".join(f"{one['wrong labels']:.0f}" for one in found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--large", type=Path, nargs="*", default=[], help="rollouts of many completions, one a run")
    parser.add_argument("--out", type=Path, default=Path("runs/micro-table"))
    options = parser.parse_args()
    tables, figures = [], {}
    for completer in ("weak", "strong"):
        seeds = [read(run, completer) for run in options.runs if (run / completer / "rollouts.jsonl").exists()]
        if not seeds:
            continue
        ruled = [{rule.name: rule for rule in rules(seed)} for seed in seeds]
        each = [
            {name: rule.figures(seed.truth) for name, rule in found.items()}
            for seed, found in zip(seeds, ruled, strict=True)
        ]
        rows = [summary(name, [one[name] for one in each]) for name in each[0]]
        wrong = [float((seed.truth >= 0).mean()) for seed in seeds]
        note = (
            f"{len(seeds)} seeds, {' / '.join(str(len(seed.truth)) for seed in seeds)} solutions, of which "
            f"{100 * float(np.mean(wrong)):.1f} % have a wrong step; in percent."
        )
        columns_ = ["rule", "first error right", "precision", "recall", "kept", "wrong labels"]
        tables.append(table(f"Completions by the {completer} policy", columns_, rows, note))
        heads = ["own rule", "published rule that keeps as many", "fewer wrong labels, %", "95 %", "each seed"]
        pairs = [fewer(seeds, ruled, own, other) for own, other in OWN]
        tables.append(table(f"Wrong labels at the same share kept, {completer} policy", heads, pairs, ""))
        figures[completer] = each
    if options.large:
        found = [values(run, large, "weak") for run, large in zip(options.runs, options.large, strict=True)]
        rows = [[name, " / ".join(f"{one[name]:.4f}" for one in found)] for name in found[0]]
        tables.append(table("Values against many completions", ["label", "each seed"], rows, ""))
        figures["values"] = found
    finish(options.out, tables, figures)


if __name__ == "__main__":
    main()
