"""What training a policy against a verifier gains: RAFT and GRPO of ``policy-tiny`` beside their controls.

``python tests/benchmarks/policies.py --out runs/policies [--scorers genprm-tiny NAME=DIR ...] [--seeds 0,1,2]``

The recipes ``raft-tiny`` and ``grpo-tiny`` are run as they are, once for each reward and seed: with each scorer, with
right answers alone (outcome) and, where something is selected, at random. Held-out problems are solved by the first and
the last policy from the same seeds, at several temperatures, for a policy can gain by becoming sharper alone; gains are
paired, their intervals resample problems. Run again, it continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.evaluate.statistics import mean_interval
from genprm.records.lines import read_lines
from tests.benchmarks.measure import across, finish, table
from tests.benchmarks.pools import genprm

SAMPLES = 4
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train."""

    method: str
    name: str
    reward: str
    """As the command line takes it."""

    def train(self, out: Path, seed: int) -> Path:
        """The run of a training."""
        run = out / f"{self.method}-{self.name}-{seed}"
        genprm("train", RECIPES / f"{self.method}-tiny.yaml", f"seed={seed}", f"reward={self.reward}", out=run)
        return run


def arms(methods: Sequence[str], scorers: Sequence[str]) -> list[Arm]:
    rewards = {}
    for scorer in scorers:
        name, _, model = scorer.partition("=")
        place = model or name
        sandbox = ", sandbox: local" if place == "genprm-tiny" else ""
        rewards[name] = f"{{kind: scorer, model: {place}{sandbox}}}"
    controls = {"raft": ("outcome", "random"), "grpo": ("outcome",)}
    given = {method: rewards | {name: f"{{kind: {name}}}" for name in controls[method]} for method in methods}
    return [Arm(method, name, reward) for method in methods for name, reward in given[method].items()]


Right = dict[str, bool]
"""Whether each solution is right, by problem and index."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What one training came to."""

    before: dict[float, Right]
    """Of the held-out solutions, by temperature."""
    after: dict[float, Right]
    minutes: float
    reward: tuple[float | None, float | None]
    """Of the policy's samples on problems to train on, at first and at last."""

    def share(self, side: str, temperature: float) -> float:
        return 100 * float(np.mean(list(getattr(self, side)[temperature].values())))

    def gain(self, temperature: float) -> float:
        return self.share("after", temperature) - self.share("before", temperature)


def solved(policy: str, run: Path, out: Path, temperature: float, seed: int) -> Right:
    count = SAMPLES if temperature else 1
    genprm(
        "rollout", run / "problems.jsonl", "--model", policy, "--samples", count, "--max-samples", count, "--keep", 1,
        "--k", 1, "--difficulty", "all", "--temperature", temperature, "--max-tokens", 300,
        "--engine-option", "max_batch=128", "--seed", seed, out=out,
    )  # fmt: skip
    found = read_lines(out / "samples.jsonl")
    return {f"{one['problem_id']}/{one['index']}": one["outcome"] == "correct" for _, one in found}


def _rewards(arm: Arm, metrics: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if arm.method == "raft":
        first, last = (metrics["iterations"][place]["sampled"]["reward"] for place in (1, -1))
        return first, last
    curve = metrics["curve"]
    tenth = max(1, len(curve) // 10)
    first, last = (
        float(np.mean([line["process_reward"] for line in part])) for part in (curve[:tenth], curve[-tenth:])
    )
    return first, last


def main() -> None:
    options = arguments().parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    temperatures = [float(t) for t in options.temperatures.split(",")]
    chosen = arms(options.methods.split(","), options.scorers)
    jobs = [(arm, seed) for seed in seeds for arm in chosen]
    with ThreadPoolExecutor(options.jobs) as workers:
        runs = list(workers.map(lambda job: job[0].train(options.out, job[1]), jobs))

        def first(case: tuple[int, float]) -> Right:
            seed, t = case
            return solved("policy-tiny", runs[0], options.out / f"before-{seed}-at-{t:g}", t, seed)

        def last(case: tuple[tuple[Arm, int], Path, float]) -> Right:
            (_, seed), run, t = case
            return solved(str(run / "model"), run, run.with_name(f"{run.name}-at-{t:g}"), t, seed)

        cases = [(seed, t) for seed in seeds for t in temperatures]
        before = dict(zip(cases, workers.map(first, cases), strict=True))
        ends = [(job, run, t) for job, run in zip(jobs, runs, strict=True) for t in temperatures]
        after = dict(zip(((job, t) for job, _, t in ends), workers.map(last, ends), strict=True))
    found = {}
    for job, run in zip(jobs, runs, strict=True):
        arm, seed = job
        metrics = json.loads((run / "metrics.json").read_text())
        sides = ({t: before[seed, t] for t in temperatures}, {t: after[job, t] for t in temperatures})
        found[job] = Trained(*sides, metrics["minutes"], _rewards(arm, metrics))
    report(chosen, seeds, found, options)


def report(arms: Sequence[Arm], seeds: Sequence[int], found: Mapping[tuple[Arm, int], Trained], options: Any) -> None:
    temperatures = list(found[arms[0], seeds[0]].before)
    columns = ["method", "reward", *(f"T {t:g}: {what}" for t in temperatures for what in ("before", "gain")),
               "reward of samples", "minutes"]  # fmt: skip
    lines = []
    for arm in arms:
        own = [found[arm, seed] for seed in seeds]
        line: list[object] = [arm.method, arm.name]
        for t in temperatures:
            line.append(across([one.share("before", t) for one in own]))
            line.append(f"{across([one.gain(t) for one in own])} {paired(own, t)}")
        lines.append([*line, _ends([one.reward for one in own]), across([one.minutes for one in own])])
    note = (
        f"{len(seeds)} seeds, mean and standard deviation, per cent of held-out solutions; in brackets the gain over "
        "all seeds, problems resampled. Reward of samples: on the problems trained on, at first and at last."
    )
    finish(options.out, [table("Policies trained against rewards", columns, lines, note)], {})


def paired(runs: Sequence[Trained], temperature: float) -> str:
    """The mean gain with its interval: a problem comes with all of its solutions of all seeds."""
    gains: dict[str, list[float]] = {}
    for run in runs:
        for key, right in run.after[temperature].items():
            gains.setdefault(key.rpartition("/")[0], []).append(100.0 * (right - run.before[temperature][key]))
    values = np.array([gain for own in gains.values() for gain in own])
    problems = [problem for problem, own in gains.items() for _ in own]
    found = mean_interval(values, problems=problems)
    return f"[{found.low:+.1f}, {found.high:+.1f}]"


def _ends(pairs: Sequence[tuple[float | None, float | None]]) -> str:
    first, last = ([value for pair in pairs if (value := pair[side]) is not None] for side in (0, 1))
    return f"{np.mean(first):.2f} to {np.mean(last):.2f}" if first and last else ""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("runs/policies"), help="continued")
    parser.add_argument("--methods", default="raft,grpo")
    parser.add_argument("--scorers", nargs="*", default=["genprm-tiny"], help="names, or NAME=FOLDER")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--temperatures", default="1,0.6,0", help="of the training, of inference as usual, and the most probable"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings at work at once")
    return parser


if __name__ == "__main__":
    main()
