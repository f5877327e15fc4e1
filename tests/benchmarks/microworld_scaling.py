"""Test-time scaling in the micro-world: best-of-1 to 64, F1 and three rounds of refinement, over sampling seeds.

``python tests/benchmarks/microworld_scaling.py [--seeds 0,1,2,3,42] [--scorers head=DIR token=DIR]``

100 test problems; policy-tiny samples 64 solutions of each. Texts are judged once however often they were sampled:
the first 8 of each problem by 8 votes of genprm-tiny, all by one vote and by every scorer of ``--scorers``. The first
sample of each problem is then criticised and refined in three rounds, by the verifier and by every control. What
critique and best-of-N cost is counted in tokens of policy and verifier together. Run again, it continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.evaluate.benchmark import processbench
from genprm.evaluate.best_of_n import best_of_n
from genprm.evaluate.refine import refine
from genprm.records.lines import read_lines, write_lines
from tests.benchmarks.measure import across, finish, table
from tests.benchmarks.pools import Pool, distinct, genprm, pool, sample_tokens

MODEL, POLICY = "genprm-tiny", "policy-tiny"
SIZES = (1, 2, 4, 8, 16, 32, 64)
FEW, VOTES = 8, 8
"""The first so many samples of each problem are judged by so many votes."""
CRITICS = ("verifier", "index", "sham", "resample", "self", "oracle")
ROUNDS = 3


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


def judge(out: Path, name: str, model: str | Path, of: Pool, *asked: object) -> Path:
    """Rewards of every sample of a pool; the folder ``name`` keeps the run."""
    run = out / name
    genprm("verify", of.distinct, "--model", model, *asked, out=run)
    return of.spread(run, out / f"{name}.jsonl")


def measure_search(out: Path, seed: int, problems: int, scorers: Mapping[str, str]) -> dict[str, Path]:
    """Scored samples by the name of their scorer."""
    whole = pool("pool", out, problems=problems, samples=SIZES[-1], seed=0, drawn=seed, policy=POLICY)
    few = first(whole, FEW)
    found = {
        f"{MODEL} one vote": judge(out, "one-vote", MODEL, whole, "--votes", 1, "--seed", seed),
        f"{MODEL} Maj@{VOTES}": judge(out, f"maj-{VOTES}", MODEL, few, "--votes", VOTES, "--seed", seed),
    }
    return found | {name: judge(out, f"scored-{name}", place, whole) for name, place in scorers.items()}


def measure_refinement(out: Path, seed: int) -> dict[str, Path]:
    """Critique runs on the first sample of each problem, by critic."""
    given = first(distinct("pool", out / "pool/truth/sampled.jsonl"), 1).samples
    runs: dict[str, tuple[str, tuple[str, ...]]] = {critic: (critic, ()) for critic in CRITICS}
    runs["verifier, accept if better"] = ("verifier", ("--accept-if-better",))
    found = {}
    for name, (critic, more) in runs.items():
        found[name] = out / f"critique-{name.replace(', ', '-').replace(' ', '-')}"
        genprm(
            "critique", given, "--model", MODEL, "--policy", POLICY, "--rounds", ROUNDS, "--votes", 1,
            "--critic", critic, "--max-tokens", 300, "--seed", seed, *more, out=found[name],
        )  # fmt: skip
    return found


def tokens_of(out: Path, name: str) -> float:
    """Tokens of policy and verifier for one sample of the pool, each text judged once."""
    samples = sum(1 for _ in read_lines(out / "pool/truth/sampled.jsonl"))
    judged = json.loads((out / name / "metrics.json").read_text())["tokens"]
    return sample_tokens(out / "pool") + float(judged) / samples


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


def f1_table(searched: Mapping[int, Mapping[str, Path]]) -> dict[str, Any]:
    seeds = list(searched)
    lines = []
    for name in searched[seeds[0]]:
        reports = [processbench([searched[seed][name]]).runs[0] for seed in seeds]
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
            one = tokens_of(out / str(seed), "one-vote")
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
    parser.add_argument("--scorers", nargs="*", default=[], metavar="NAME=DIR", help="discriminative models")
    options = parser.parse_args()
    scorers = dict(entry.split("=", 1) for entry in options.scorers)
    searched, refined = {}, {}
    for seed in map(int, options.seeds.split(",")):
        out = options.out / str(seed)
        searched[seed] = measure_search(out, seed, options.problems, scorers)
        refined[seed] = measure_refinement(out, seed)
    tables = [
        f1_table(searched), search_table(searched), refinement_table(refined),
        equal_tokens_table(searched, refined, options.out),
    ]  # fmt: skip
    finish(options.out, tables, {})


if __name__ == "__main__":
    main()
