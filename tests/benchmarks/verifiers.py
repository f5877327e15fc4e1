"""Every kind of verifier trained on the same rows with the same number of tokens, and what each is worth.

``python tests/benchmarks/verifiers.py runs/micro --out runs/verifiers [--tokens 1000000] [--seeds 0,1,2] [--jobs 2]``

RUN is a run of ``recipes/micro.yaml``. All start from genprm-tiny (or ``--base``) and read the solutions that its stage
``siblings`` keeps: with the agreed label (generative, direct, head), with what Monte Carlo says (token-hard, -soft,
-entropy) or with the outcome (orm). Beside them stand a generative model on as many critiques drawn at random, and one
on as many that agree with the truth. The learning rate of each is chosen on validation problems with the first seed.
Tested are samples of policy-tiny on test problems, of policy-strong on the same ones, and solutions of the lab in
families that no model was trained on, where policies solve nothing.
Everything runs as commands of genprm, two at once with ``--jobs 2``; run again, it continues.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import resources
from genprm.engines.tokenizers import HFTokenizer
from genprm.evaluate.benchmark import processbench
from genprm.evaluate.best_of_n import best_of_n
from genprm.evaluate.processbench import hits, with_error
from genprm.evaluate.scored import read_results
from genprm.evaluate.statistics import f1_difference
from genprm.lab import world
from genprm.records import solution_to_dict
from genprm.records.lines import read_lines, write_lines
from genprm.stepformats import FORMATS, QWEN
from genprm.train.labelled import read_examples
from tests.benchmarks.measure import across, finish, table
from tests.benchmarks.pools import Pool, genprm, pool, sample_tokens

BASE = "genprm-tiny"
RATES = (0.0005, 0.002)
LENGTH = 2048


@dataclass(frozen=True, slots=True)
class Method:
    """A kind of verifier, and the rows that it is trained on."""

    name: str
    kind: str
    rows: str
    votes: int = 1
    direct: bool = False
    targets: str | None = None
    rate_of: str | None = None
    """The method whose learning rate it takes over."""

    @property
    def generative(self) -> bool:
        return self.kind == "generative"


METHODS = (
    Method("generative", "generative", "conversations", votes=8),
    Method("direct", "generative", "conversations", direct=True),
    Method("token-hard", "token", "hard"),
    Method("token-soft", "token", "soft"),
    Method("token-entropy", "token", "entropy"),
    Method("head", "head", "agreed", targets="hard"),
    Method("orm", "orm", "outcome"),
    Method("generative, random rows", "generative", "random", rate_of="generative"),
    Method("generative, true rows", "generative", "truth", rate_of="generative"),
)


def training_rows(run: Path, out: Path) -> dict[str, Path]:
    """A file of rows of the same solutions for each name that methods ask for."""
    everything = out / "everything"
    genprm(
        "curate", run / "truth", "rule=rpe_ratio", "annotator.model=annotator-tiny", "annotator.temperature=0.6",
        "annotator.max_tokens=1024", f"answers={run / 'data'}", "consensus=none", "max_tokens=2048", out=everything,
    )  # fmt: skip
    written, agreeing = _conversations(everything), _conversations(run / "siblings")
    kept = [name for name in agreeing if name in written]
    solutions = {record["id"]: record for _, record in read_lines(run / "truth/selected.jsonl")}
    said = {item["id"]: item for _, item in read_lines(everything / "items.jsonl")}
    true = [name for name in written if said[name]["annotator"] == solutions[name]["label"]]
    agreed = {item["id"]: item["agreed"] for _, item in read_lines(run / "siblings/items.jsonl")}
    values: dict[str, dict[str, Any]] = {"hard": {}, "soft": {}, "entropy": {}}
    for _, labels in read_lines(run / "siblings/labels.jsonl"):
        values.get(labels["rule"], {})[labels["id"]] = labels["values"]
    drawn: dict[str, list[Mapping[str, Any]]] = {
        "conversations": [agreeing[name] for name in kept],
        "random": [written[name] for name in random.Random(0).sample(sorted(written), len(kept))],
        "truth": [written[name] for name in random.Random(0).sample(sorted(true), min(len(kept), len(true)))],
        "agreed": [up_to(solutions[name], agreed[name]) for name in kept],
        "outcome": [{**_bare(solutions[name]), "label": -1} for name in kept],
        **{rule: [{**_bare(solutions[name]), "values": of[name]} for name in kept] for rule, of in values.items()},
    }
    (out / "rows").mkdir(exist_ok=True)
    for name, rows in drawn.items():
        write_lines(out / "rows" / f"{name}.jsonl", rows)
    print({name: len(rows) for name, rows in drawn.items()}, f"{len(written)} critiques, {len(true)} true")
    return {name: out / "rows" / f"{name}.jsonl" for name in drawn}


def _conversations(curation: Path) -> dict[str, Mapping[str, Any]]:
    folder = curation / "export/conversations"
    names = [record["id"] for _, record in read_lines(folder / "index.jsonl")]
    return dict(zip(names, (row for _, row in read_lines(folder / "train.jsonl")), strict=True))


def _bare(solution: Mapping[str, Any]) -> dict[str, Any]:
    return {name: solution[name] for name in ("problem", "steps", "final_answer_correct")}


def up_to(solution: Mapping[str, Any], label: int) -> dict[str, Any]:
    """The solution to its first wrong step, as the conversations have it."""
    steps = solution["steps"] if label < 0 else solution["steps"][: label + 1]
    return {"problem": solution["problem"], "steps": steps, "label": label}


@dataclass(frozen=True, slots=True)
class Bench:
    """What all trainings share."""

    out: Path
    tokens: int
    rows: Mapping[str, Path]
    base: str = BASE
    """A name or a folder."""

    def train(self, method: Method, rate: float, seed: int) -> Path:
        """The run of a training."""
        run = self.out / "trained" / f"{_slug(method)}-{rate:g}-{seed}"
        recipe = run.with_name(run.name + ".yaml")
        recipe.parent.mkdir(parents=True, exist_ok=True)
        options = {
            "seed": seed,
            "model": {"base": self.base},
            "max_length": LENGTH,
            "optimizer": {"kind": "adamw", "learning_rate": rate, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99},
            "schedule": {"kind": "cosine", "warmup_share": 0.05, "floor": 0.02},
            **(self._generative(method, seed) if method.generative else self._steps(method)),
        }
        stage = {"name": "train", "verb": "train", "options": options}
        recipe.write_text(yaml.safe_dump({"name": run.name, "stages": [stage]}), encoding="utf-8")
        genprm("train", recipe, out=run)
        return run

    def _generative(self, method: Method, seed: int) -> dict[str, Any]:
        data = {"source": "conversations", "path": str(self.rows[method.rows]), "direct": method.direct, "seed": seed}
        batch = 3072
        return {"kind": "generative", "data": data, "tokens_per_batch": batch, "max_steps": self.tokens // batch}

    def _steps(self, method: Method) -> dict[str, Any]:
        place, batch = str(self.rows[method.rows]), 16
        steps = round(self.tokens / (batch * read_tokens(method, place)))
        own = {} if method.targets is None else {"targets": method.targets}
        return {"kind": method.kind, "data": {"source": "files", "places": [place]}, "batch_size": batch,
                "max_steps": steps, **own}  # fmt: skip

    def score(self, trained: Path, method: Method, of: Pool, votes: int) -> tuple[Path, Path]:
        """The run over the pool's distinct solutions, and the rewards of all of its samples."""
        run = trained.with_name(f"{trained.name}-{of.name}{'' if votes == 1 else f'-maj-{votes}'}")
        mode = "direct" if method.direct else "code"
        asked: tuple[object, ...] = ("--votes", votes, "--mode", mode) if method.generative else ()
        genprm("verify", of.distinct, "--model", trained / "model", *asked, out=run)
        return run, of.spread(run, run.with_name(run.name + ".jsonl"))


def widened(base: str, out: Path) -> str:
    """A folder with the base and a context that the rows fit into; its places are rotary, so no weight changes."""
    folder = out / "base"
    shutil.copytree(resources.model(base), folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": LENGTH}, indent=2))
    return str(folder)


def held_out(out: Path, count: int) -> Pool:
    """Solutions of the lab in the families that are never trained on, one of each problem."""
    records = out / "families.jsonl"
    write_lines(records, [solution_to_dict(one) for one in world.test_set(count, seed=0, held_out=True)])
    return Pool("families", records, records)


def read_tokens(method: Method, place: str) -> float:
    """Tokens that a discriminative model reads of a solution, the mean of a file."""
    form, tokenizer = FORMATS["qwen" if method.kind == "head" else "math-shepherd"], _base_tokenizer()
    examples = read_examples([place], 0).rows
    return sum(len(one.marked(form, tokenizer).ids) for one in examples) / len(examples)


def _base_tokenizer() -> HFTokenizer:
    """genprm-tiny's, with the step tag of the head added, as the training has it."""
    tokenizer = AutoTokenizer.from_pretrained(resources.model(BASE))
    tokenizer.add_special_tokens({"additional_special_tokens": [QWEN.TAG]})
    return HFTokenizer(tokenizer)


def _slug(method: Method) -> str:
    return method.name.replace(", ", "-").replace(" ", "-")


def main() -> None:
    parser = arguments(__doc__, "runs/verifiers", 1_000_000, 60)
    parser.add_argument("--only", default=None, help="names of methods, by commas; all if not given")
    parser.add_argument("--base", default=BASE, help="what all start from; policy-tiny has never seen a verdict")
    options = parser.parse_args()
    out: Path = options.out
    rows = training_rows(options.run, out)
    bench = Bench(out, options.tokens, rows, BASE if options.base == BASE else widened(options.base, out))
    validation = pool("validation", out, problems=options.validation, samples=8, seed=900, split="curate")
    pools = [pool("test", out, problems=options.problems, samples=8, seed=0)]
    pools += [pool("strong", out, problems=options.problems, samples=4, seed=0, policy="policy-strong")]
    pools += [held_out(out, 3 * options.problems)]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    chosen = [method for method in METHODS if options.only is None or _slug(method) in options.only.split(",")]

    def on_validation(method: Method, rate: float) -> tuple[float, float]:
        """(figure, threshold) of a learning rate under the first seed."""
        run = bench.train(method, rate, seeds[0])
        return measured_on_validation(method, bench.score(run, method, validation, votes=1)[1])

    def measure(method: Method, rate: float, seed: int) -> dict[str, Any]:
        run = bench.train(method, rate, seed)
        threshold = measured_on_validation(method, bench.score(run, method, validation, votes=1)[1])[1]
        return figures(bench, run, method, pools, threshold)

    with ThreadPoolExecutor(options.jobs) as workers:
        tried = [(method, rate) for method in chosen if method.rate_of is None for rate in RATES]
        found = dict(zip(tried, workers.map(lambda pair: on_validation(*pair), tried), strict=True))
        best = {method: max(RATES, key=lambda rate: found[method, rate][0]) for method, _ in tried}
        by_name = {method.name: rate for method, rate in best.items()}
        best |= {method: by_name[method.rate_of] for method in chosen if method.rate_of is not None}
        jobs = [(method, best[method], seed) for seed in seeds for method in chosen]
        rows = list(workers.map(lambda job: measure(*job), jobs))
    report(chosen, best, {(method, seed): row for (method, _, seed), row in zip(jobs, rows, strict=True)}, options)


def measured_on_validation(method: Method, scored: Path) -> tuple[float, float]:
    """F1 at its best threshold; best-of-8 of an outcome model, which names no step."""
    if method.kind == "orm":
        return best_of_n([scored], weights="last", resamples=10).runs[0].curves["last"][-1].value, 0.5
    if method.generative and not method.direct:
        return processbench([scored]).runs[0].subsets[scored.stem].maj.f1.value, 0.5
    run = processbench([scored], threshold="first").runs[0]
    return run.subsets[scored.stem].maj.f1.value, run.threshold


def figures(bench: Bench, run: Path, method: Method, pools: Sequence[Pool], threshold: float) -> dict[str, Any]:
    """All figures of one training, by pool."""
    made = {}
    for place, of in enumerate(pools):
        for votes in sorted({1, method.votes if place == 0 else 1}):
            verified, scored = bench.score(run, method, of, votes)
            metrics = json.loads((verified / "metrics.json").read_text())
            count, timing = metrics["solutions"], metrics["timing"]
            seconds = timing.get("seconds_all_runs", timing["seconds"])
            tokens = metrics["tokens"] / count if method.generative else read_tokens(method, str(of.distinct))
            cost = {"tokens": tokens, "per_s": count / seconds}
            figure = _on_families if of.name == "families" else _on_pool
            made[label_of(of.name, votes)] = figure(method, scored, threshold) | cost
    return made


def label_of(pool: str, votes: int) -> str:
    return pool if votes == 1 else f"{pool} Maj@{votes}"


def _on_pool(method: Method, scored: Path, threshold: float) -> dict[str, Any]:
    selected = best_of_n([scored], resamples=10).runs[0]
    by_outcome = method.kind == "orm"
    best = [each.value for each in selected.curves["last" if by_outcome else "min"]]
    calibrated = selected.calibration.get("last")
    found = _on_families(method, scored, threshold) | {"best": best, "mean": selected.mean.value}
    return found | ({"ece": 100 * calibrated.ece} if by_outcome and calibrated is not None else {})


def _on_families(method: Method, scored: Path, threshold: float) -> dict[str, Any]:
    """Of solutions that nothing is selected from. An outcome model names no step, so it has no F1."""
    known: dict[str, Any] = {"scored": str(scored), "threshold": threshold, "f1": None, "ece": None}
    if method.kind == "orm":
        return known
    report = processbench([scored], threshold=threshold).runs[0].subsets[scored.stem]
    ece = None if report.calibration is None else 100 * report.calibration.ece
    return known | {"f1": report.maj.f1.value, "ece": ece}


Rows = Mapping[tuple[Method, int], Mapping[str, Any]]


def report(chosen: Sequence[Method], rates: Mapping[Method, float], rows: Rows, options: argparse.Namespace) -> None:
    """The tables."""
    seeds = sorted({seed for _, seed in rows})
    tables = [_main_table(chosen, rates, rows, seeds, options), _elsewhere(chosen, rows, seeds, options)]
    first = chosen[0]
    if first.generative:
        tables.append(_paired(first, chosen[1:], rows, seeds))
    spent = {f"{method.name} {seed}": row for (method, seed), row in rows.items()}
    finish(options.out, tables, {"rates": {m.name: rate for m, rate in rates.items()}, "measured": spent})


def _main_table(
    chosen: Sequence[Method], rates: Mapping[Method, float], rows: Rows, seeds: Sequence[int], options: Any
) -> dict[str, Any]:
    columns = ["verifier", "rate", "F1", "best-of-8", "N at equal tokens", "best-of-N", "ECE", "tokens", "solutions/s"]
    lines = []
    sample = sample_tokens(options.out / "test")
    budget = 8 * (sample + min(_mean(rows, one, seeds, "test", "tokens") for one in chosen))
    for method in chosen:
        for votes in sorted({1, method.votes}):
            name = label_of("test", votes)
            tokens = _mean(rows, method, seeds, name, "tokens")
            n = max(1, min(8, int(budget / (sample + tokens))))
            best = [[rows[method, seed][name]["best"][k - 1] for seed in seeds] for k in (8, n)]
            lines.append([
                label_of(method.name, votes), f"{rates[method]:g}", _shown(rows, method, seeds, name, "f1"),
                across(best[0]), n, across(best[1]), _shown(rows, method, seeds, name, "ece"), f"{tokens:,.0f}",
                f"{_mean(rows, method, seeds, name, 'per_s'):.1f}",
            ])  # fmt: skip
    note = (
        f"{options.tokens:,} training tokens each, {len(seeds)} seeds, mean and standard deviation, per cent; "
        f"{options.problems} test problems, 8 samples each. Single samples: "
        f"{rows[chosen[0], seeds[0]]['test']['mean']:.1f} % right."
    )
    return table("Verifiers from the same rows", columns, lines, note)


def _elsewhere(chosen: Sequence[Method], rows: Rows, seeds: Sequence[int], options: Any) -> dict[str, Any]:
    columns = ["verifier", "policy-tiny: F1", "best-of-8", "policy-strong: F1", "best-of-4", "other families: F1"]
    lines = []
    for method in chosen:
        line: list[object] = [method.name]
        for name in ("test", "strong"):
            line.append(_shown(rows, method, seeds, name, "f1"))
            line.append(across([rows[method, seed][name]["best"][-1] for seed in seeds]))
        lines.append([*line, _shown(rows, method, seeds, "families", "f1")])
    tiny, strong = (rows[chosen[0], seeds[0]][name]["mean"] for name in ("test", "strong"))
    note = (
        f"One vote. Single samples: {tiny:.1f} and {strong:.1f} % right; {3 * options.problems} solutions of families."
    )
    return table("Another policy, other families", columns, lines, note)


def _paired(first: Method, others: Sequence[Method], rows: Rows, seeds: Sequence[int]) -> dict[str, Any]:
    """F1 of the first, all votes, minus that of each other, on the same solutions; intervals resample problems."""
    name, lines = label_of("test", first.votes), []
    for other in others:
        theirs = label_of("test", other.votes)
        if rows[other, seeds[0]][theirs]["f1"] is None:
            continue
        pairs = [(_hits(rows[first, seed][name]), _hits(rows[other, seed][theirs])) for seed in seeds]
        ours, other_hits = (np.mean([pair[side][0] for pair in pairs], axis=0) for side in (0, 1))
        _, wrong, problems = pairs[0][0]
        gap = f1_difference(ours, other_hits, wrong, problems=problems, seed=0).times(100)
        lines.append([label_of(other.name, other.votes), gap.describe()])
    return table(f"F1 of {label_of(first.name, first.votes)} minus", ["verifier", "points"], lines)


def _hits(row: Mapping[str, Any]) -> tuple[Any, Any, list[Any]]:
    results = read_results(Path(row["scored"]))
    labels = [one.solution.label for one in results.scored if one.solution.label is not None]
    predicted = [[one.predicted(row["threshold"])] for one in results.scored]
    return hits(predicted, labels), with_error(labels), [one.problem for one in results.scored]


def _values(rows: Rows, method: Method, seeds: Sequence[int], name: str, field: str) -> list[float]:
    return [value for seed in seeds if (value := rows[method, seed][name][field]) is not None]


def _mean(rows: Rows, method: Method, seeds: Sequence[int], name: str, field: str) -> float:
    return sum(_values(rows, method, seeds, name, field)) / len(seeds)


def _shown(rows: Rows, method: Method, seeds: Sequence[int], name: str, field: str) -> str:
    return across(_values(rows, method, seeds, name, field))


def arguments(description: str | None, out: str, tokens: int, problems: int) -> argparse.ArgumentParser:
    """The options of benchmarks that train on a run."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="a run of recipes/micro.yaml")
    parser.add_argument("--out", type=Path, default=Path(out), help="continued")
    parser.add_argument("--tokens", type=int, default=tokens, help="of each training")
    parser.add_argument("--seeds", default="0,1,2", help="of the trainings")
    parser.add_argument("--problems", type=int, default=problems, help="of each test pool")
    parser.add_argument("--validation", type=int, default=40, help="problems that rates and thresholds are chosen on")
    parser.add_argument("--jobs", type=int, default=2, help="commands at work at once")
    return parser


if __name__ == "__main__":
    main()
