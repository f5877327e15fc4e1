"""Test-time scaling in the micro-world: best-of-1 to 64, F1 and three rounds of refinement, over sampling seeds.

``python tests/benchmarks/microworld_scaling.py [--seeds 0,1,2,3,42] [--scorers head=DIR token=DIR]``

Two discriminative models are trained first, genprm-tiny on the truth of the lab's steps, unless ``--scorers`` names
others; their thresholds are chosen on samples of other problems. Then policy-tiny samples 64 solutions of each of 100
test problems under every seed. A text is judged once, however often and under whichever seeds it was sampled: the first
8 of each problem by 8 votes of genprm-tiny, all by one vote and by every scorer; so deviations over seeds are those of
sampling, and not of the verifier's own draws. The first sample of each problem is then criticised and refined in three
rounds, by the verifier and by every control. What critique and best-of-N cost is counted in tokens of policy and
verifier together. Beside the tables it draws best-of-n.svg. Run again, it continues; more seeds go behind those
that it had.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.evaluate.benchmark import processbench
from genprm.evaluate.best_of_n import best_of_n
from genprm.evaluate.refine import refine
from genprm.records.lines import read_lines, write_lines
from genprm.verdicts import THRESHOLD
from tests.benchmarks.chart import draw
from tests.benchmarks.measure import across, finish, table
from tests.benchmarks.pools import Pool, distinct, genprm, pool, sample_tokens

MODEL, POLICY = "genprm-tiny", "policy-tiny"
SIZES = (1, 2, 4, 8, 16, 32, 64)
FEW, VOTES = 8, 8
"""The first so many samples of each problem are judged by so many votes."""
CRITICS = ("verifier", "index", "sham", "resample", "self", "oracle")
CAUTIOUS = "verifier, accept if better"
ROUNDS = 3
STEPS = 400
"""Of the training of a discriminative model: about a million tokens."""


def first(samples: Pool, count: int) -> Pool:
    """The first samples of each problem as a pool of their own."""
    seen: dict[str, int] = {}
    rows = []
    for _, record in read_lines(samples.samples):
        seen[record["problem_id"]] = seen.get(record["problem_id"], 0) + 1
        if seen[record["problem_id"]] <= count:
            rows.append(record)
    few = samples.samples.with_name(f"first-{count}.jsonl")
    write_lines(few, rows)
    return distinct(f"{samples.name}-first-{count}", few)


@dataclass(frozen=True, slots=True)
class Judging:
    """Samples of all seeds, and how they are judged."""

    name: str
    folder: str
    pools: Mapping[int, Pool]
    asked: tuple[object, ...]

    def run(self, out: Path) -> Path:
        """Judge every text once."""
        union = out / f"{self.folder}.jsonl"
        union.parent.mkdir(parents=True, exist_ok=True)
        # Every seed gives its samples the same ids; the text decides what is judged, and by whatever id.
        write_lines(union, [
            {**record, "id": f"{seed}/{record['id']}"} for seed, of in self.pools.items()
            for _, record in read_lines(of.samples)
        ])  # fmt: skip
        place = union.with_name(f"distinct-{union.name}")
        before = place.read_bytes() if place.exists() else b""
        if distinct(self.folder, union).distinct.read_bytes() != before:  # other seeds: the run goes on
            (out / f"{self.folder}.spent.json").unlink(missing_ok=True)
        genprm("verify", place, *self.asked, out=out / self.folder)
        return out / self.folder

    def spread(self, out: Path) -> dict[int, Path]:
        """The rewards of every sample, by seed."""
        return {
            seed: of.spread(out / self.folder, out / str(seed) / f"{self.folder}.jsonl")
            for seed, of in self.pools.items()
        }


def judgings(pools: Mapping[int, Pool], scorers: Mapping[str, str]) -> list[Judging]:
    few = {seed: first(of, FEW) for seed, of in pools.items()}
    return [
        Judging(f"{MODEL} one vote", "one-vote", pools, ("--model", MODEL, "--votes", 1)),
        Judging(f"{MODEL} Maj@{VOTES}", f"maj-{VOTES}", few, ("--model", MODEL, "--votes", VOTES)),
        *(Judging(name, f"scored-{name}", pools, ("--model", place)) for name, place in scorers.items()),
    ]


def trained(kind: str, out: Path) -> str:
    """A discriminative model: genprm-tiny goes on with ``STEPS`` batches of the lab's solutions."""
    recipe = out / f"{kind}.yaml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "kind": kind, "seed": 0, "model": {"base": MODEL}, "data": {"source": "lab", "seed": 1},
        "batch_size": 16, "max_length": 1024, "max_steps": STEPS,
        "optimizer": {"kind": "adamw", "learning_rate": 0.002, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99},
        "schedule": {"kind": "cosine", "warmup_share": 0.05, "floor": 0.02},
    }  # fmt: skip
    stage = {"name": "train", "verb": "train", "options": options}
    recipe.write_text(yaml.safe_dump({"name": kind, "stages": [stage]}), encoding="utf-8")
    genprm("train", recipe, out=out / kind)
    return str(out / kind / "model")


def threshold_of(name: str, model: str, out: Path) -> float:
    """The threshold with the best F1 on samples of the problems that data sets are made of."""
    samples = pool("validation", out, problems=60, samples=8, seed=900, split="curate")
    genprm("verify", samples.distinct, "--model", model, out=out / f"validation-{name}")
    return processbench([samples.spread(out / f"validation-{name}", out / f"validation-{name}.jsonl")],
                        threshold="first").runs[0].threshold  # fmt: skip


def refinement(given: Path, out: Path, seed: int, critic: str) -> Path:
    """A critique run on the solutions given."""
    run = out / str(seed) / f"critique-{critic.replace(', ', '-').replace(' ', '-')}"
    more = ("--accept-if-better",) if critic == CAUTIOUS else ()
    genprm(
        "critique", given, "--model", MODEL, "--policy", POLICY, "--rounds", ROUNDS, "--votes", 1,
        "--critic", critic.partition(",")[0], "--max-tokens", 300, "--seed", seed, *more, out=run,
    )  # fmt: skip
    return run


def tokens_of(out: Path, seed: int) -> float:
    """Tokens of policy and verifier for one sample of a seed, each text of it judged once by one vote."""
    whole = distinct("pool", out / str(seed) / "pool/truth/sampled.jsonl")
    samples, texts = (sum(1 for _ in read_lines(path)) for path in (whole.samples, whole.distinct))
    metrics = json.loads((out / "one-vote/metrics.json").read_text())
    return sample_tokens(out / str(seed) / "pool") + float(metrics["tokens"]) / metrics["solutions"] * texts / samples


def draw_search(searched: Mapping[int, Mapping[str, Path]], path: Path) -> None:
    """The means over seeds as curves: the best sample by its lowest step, and what needs no scorer."""
    lines: dict[str, list[float]] = {}
    for name in next(iter(searched.values())):
        runs = [best_of_n([by_name[name]], resamples=10).runs[0] for by_name in searched.values()]
        for method in ("min", *(("pass", "majority") if not lines else ())):
            curves = [[one.value for one in run.curves[method]] for run in runs]
            found = [statistics.fmean(curve[size - 1] for curve in curves) for size in SIZES if size <= len(curves[0])]
            lines[{"min": name, "pass": "some sample right"}.get(method, method)] = found
    draw(path, "Right answers selected, per cent", "samples", SIZES, lines)


def search_table(searched: Mapping[int, Mapping[str, Path]]) -> dict[str, Any]:
    """Best-of-N by scorer; the methods that need none once."""
    seeds = list(searched)
    lines: list[list[object]] = []
    for place, name in enumerate(searched[seeds[0]]):
        runs = [best_of_n([searched[seed][name]], resamples=10).runs[0] for seed in seeds]
        without = ("pass", "majority") if place == 0 else ()
        for method in (*without, "min", "weighted"):
            shown = [
                across([run.curves[method][size - 1].value for run in runs]) if size <= len(runs[0].sizes) else ""
                for size in SIZES
            ]
            lines.append(["–" if method in without else name, method, *shown])
    return table("Right answers selected", ["scorer", "method", *map(str, SIZES)], lines, f"Seeds {seeds}, per cent.")


def f1_table(searched: Mapping[int, Mapping[str, Path]], thresholds: Mapping[str, float]) -> dict[str, Any]:
    seeds = list(searched)
    lines = []
    for name in searched[seeds[0]]:
        threshold = thresholds.get(name, THRESHOLD)
        reports = [processbench([searched[seed][name]], threshold=threshold).runs[0] for seed in seeds]
        f1s = [next(iter(one.subsets.values())).maj for one in reports]
        lines.append([
            name, across([one.f1.value for one in f1s]), across([one.error_accuracy.value for one in f1s]),
            across([one.correct_accuracy.value for one in f1s]),
        ])  # fmt: skip
    return table("F1 on what the policy writes", ["scorer", "F1", "first error found", "clean accepted"], lines)


def refinement_table(refined: Mapping[int, Mapping[str, Path]]) -> dict[str, Any]:
    seeds = list(refined)
    lines = []
    for name in refined[seeds[0]]:
        runs = [refine([refined[seed][name]]).runs[0].rounds for seed in seeds]
        right = [across([run[number].right.value for run in runs]) for number in range(len(runs[0]))]
        every = [one for run in runs for one in run]
        mended, spoiled = (sum(getattr(one, what) for one in every) for what in ("wrong_to_right", "right_to_wrong"))
        alarms = sum(one.false_alarms for one in every)
        tokens = sum(run[-1].tokens_so_far for run in runs) / len(runs)
        lines.append([name, *right, f"{mended} / {spoiled}", alarms, f"{tokens:,.0f}"])
    rounds = [f"round {number}" for number in range(ROUNDS + 1)]
    note = f"Seeds {seeds}; per cent, mean and deviation; counts over all seeds."
    columns = ["critic", *rounds, "mended / spoiled", "false alarms", "tokens"]
    return table("Right answers after refinement", columns, lines, note)


def first_round_table(refined: Mapping[int, Mapping[str, Path]]) -> dict[str, Any]:
    """What became of the first critiques: how many new solutions are the old one word for word."""
    lines = []
    for name in next(iter(refined.values())):
        new = copied = wrong = 0
        for by_name in refined.values():
            items = {item["id"]: item for _, item in read_lines(by_name[name] / "items.jsonl")}
            wrong += sum(not one["right"][0] and one["rounds"][0]["finding"] is not None for one in items.values())
            given = {one["id"]: one["steps"] for _, one in read_lines(by_name[name] / "solutions.jsonl")}
            for _, one in read_lines(by_name[name] / "refinements.jsonl"):
                whose, _, part = str(one["id"]).rpartition("~")
                if "steps" in one and part.startswith("1."):
                    new, copied = new + 1, copied + (one["steps"] == given[whose])
        lines.append([name, wrong, new, copied])
    columns = ["critic", "wrong answers criticised", "new solutions", "word for word the old one"]
    return table("The first round", columns, lines, "Counts over all seeds.")


def equal_tokens_table(
    searched: Mapping[int, Mapping[str, Path]], refined: Mapping[int, Mapping[str, Path]], out: Path
) -> dict[str, Any]:
    """Refinement by the verifier beside best-of-N with it at as many tokens, of both models together."""
    seeds = list(refined)
    lines = []
    for number in range(1, ROUNDS + 1):
        right, picked, sizes = [], [], []
        for seed in seeds:
            run = refine([refined[seed]["verifier"]]).runs[0]
            curve = best_of_n([searched[seed][f"{MODEL} one vote"]], resamples=10).runs[0].curves["min"]
            one = tokens_of(out, seed)
            n = max(1, min(SIZES[-1], round(1 + run.rounds[number].tokens_so_far / run.problems / one)))
            right.append(run.rounds[number].right.value)
            picked.append(curve[n - 1].value)
            sizes.append(n)
        gap = across([mine - theirs for mine, theirs in zip(right, picked, strict=True)])
        lines.append([number, across(right), f"{min(sizes)} to {max(sizes)}", across(picked), gap])
    columns = ["rounds", "refined", "N at equal tokens", "best-of-N", "difference"]
    return table("Critique against best-of-N at equal tokens", columns, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"), help="continued")
    parser.add_argument("--seeds", default="0,1,2,3,42", help="of sampling")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument(
        "--scorers",
        nargs="*",
        default=[],
        metavar="NAME=DIR",
        help="discriminative models; trained here if there are none",
    )
    parser.add_argument("--jobs", type=int, default=2, help="commands at work at once")
    options = parser.parse_args()
    out, seeds = options.out, [int(seed) for seed in options.seeds.split(",")]

    def sampled(seed: int) -> Pool:
        return pool("pool", out / str(seed), problems=options.problems, samples=SIZES[-1], seed=0, drawn=seed)

    with ThreadPoolExecutor(options.jobs) as workers:
        pools = dict(zip(seeds, workers.map(sampled, seeds), strict=True))
        scorers = dict(entry.split("=", 1) for entry in options.scorers)
        scorers = scorers or {kind: trained(kind, out / "trained") for kind in ("token", "head")}
        thresholds = {name: threshold_of(name, model, out) for name, model in scorers.items()}
        asked = judgings(pools, scorers)
        done = [workers.submit(one.run, out) for one in asked]
        cases = [(seed, critic) for seed in seeds for critic in (*CRITICS, CAUTIOUS)]
        given = {seed: first(of, 1).samples for seed, of in pools.items()}
        rounds = workers.map(lambda case: refinement(given[case[0]], out, *case), cases)
        runs = dict(zip(cases, rounds, strict=True))
        for one in done:
            one.result()
    spread = {one.name: one.spread(out) for one in asked}
    searched = {seed: {name: by_seed[seed] for name, by_seed in spread.items()} for seed in seeds}
    refined = {seed: {critic: runs[seed, critic] for critic in (*CRITICS, CAUTIOUS)} for seed in seeds}
    tables = [
        f1_table(searched, thresholds), search_table(searched), refinement_table(refined), first_round_table(refined),
        equal_tokens_table(searched, refined, options.out),
    ]  # fmt: skip
    draw_search(searched, out / "best-of-n.svg")
    finish(options.out, tables, {})


if __name__ == "__main__":
    main()
