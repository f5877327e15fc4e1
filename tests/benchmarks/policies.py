"""What training a policy against a verifier gains: RAFT and GRPO of ``policy-tiny`` beside their controls.

``python tests/benchmarks/policies.py --out runs/policies [--scorers genprm-tiny NAME=DIR ...] [--seeds 0,1,2]``

The recipes ``raft-tiny`` and ``grpo-tiny`` are run as they are, once for each reward and seed: with each scorer, with
right answers alone (outcome) and, where something is selected, at random. Held-out problems are solved by the first and
the last policy from the same seeds; gains are paired, their intervals resample problems. Run again, it continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Trained:
    """What one training came to."""

    before: dict[str, bool]
    """Whether each held-out solution is right, by problem and index."""
    after: dict[str, bool]
    minutes: float
    reward: tuple[float | None, float | None]
    """Of the policy's samples on problems to train on, at first and at last."""
    sampled: tuple[float, float]
    """Share of these that are right, in per cent."""

    @property
    def gain(self) -> float:
        return 100 * float(np.mean(list(self.after.values())) - np.mean(list(self.before.values())))


def read(arm: Arm, run: Path) -> Trained:
    metrics = json.loads((run / "metrics.json").read_text())
    if arm.method == "raft":
        rounds = metrics["iterations"]
        places = ("iteration-0/heldout.jsonl", f"iteration-{len(rounds) - 1}/heldout.jsonl")
        ends = [rounds[place]["sampled"] for place in (1, -1)]
        sampled = 100 * ends[0]["accuracy"], 100 * ends[1]["accuracy"]
        reward = ends[0]["reward"], ends[1]["reward"]
    else:
        places = ("heldout-before.jsonl", "heldout-after.jsonl")
        curve = metrics["curve"]
        tenth = max(1, len(curve) // 10)
        ends = [curve[:tenth], curve[-tenth:]]
        sampled = tuple(100 * float(np.mean([line["accuracy"] for line in part])) for part in ends)
        known = [[line["process_reward"] for line in part if "process_reward" in line] for part in ends]
        reward = tuple(float(np.mean(part)) if part else None for part in known)
    before, after = (_right(run / place) for place in places)
    return Trained(before, after, metrics["minutes"], reward, sampled)


def _right(path: Path) -> dict[str, bool]:
    return {f"{one['problem_id']}/{one['index']}": one["outcome"] == "correct" for _, one in read_lines(path)}


def main() -> None:
    options = arguments().parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    chosen = arms(options.methods.split(","), options.scorers)
    jobs = [(arm, seed) for seed in seeds for arm in chosen]
    with ThreadPoolExecutor(options.jobs) as workers:
        runs = list(workers.map(lambda job: read(job[0], job[0].train(options.out, job[1])), jobs))
    found = dict(zip(jobs, runs, strict=True))
    report(chosen, seeds, found, options)


def report(arms: Sequence[Arm], seeds: Sequence[int], found: dict[tuple[Arm, int], Trained], options: Any) -> None:
    columns = ["method", "reward", "before", "after", "gain", "95 %", "reward of samples", "right samples", "minutes"]
    lines = []
    for arm in arms:
        own = [found[arm, seed] for seed in seeds]
        shares = [[100 * float(np.mean(list(side.values()))) for side in (one.before, one.after)] for one in own]
        lines.append([
            arm.method, arm.name, *(across([share[side] for share in shares]) for side in (0, 1)),
            across([one.gain for one in own]), paired(own), _ends([one.reward for one in own], 1, ".3f"),
            _ends([one.sampled for one in own], 1, ".1f"), across([one.minutes for one in own]),
        ])  # fmt: skip
    note = (
        f"{len(seeds)} seeds, mean and standard deviation, per cent of held-out solutions; 95 %: the gain over all "
        "seeds, problems resampled. Reward and right samples: on the problems trained on, at first and at last."
    )
    finish(options.out, [table("Policies trained against rewards", columns, lines, note)], {})


def paired(runs: Sequence[Trained]) -> str:
    """The mean gain with its interval: a problem comes with all of its solutions of all seeds."""
    gains: dict[str, list[float]] = {}
    for run in runs:
        for key, right in run.after.items():
            gains.setdefault(key.rpartition("/")[0], []).append(100.0 * (right - run.before[key]))
    values = np.array([gain for own in gains.values() for gain in own])
    problems = [problem for problem, own in gains.items() for _ in own]
    found = mean_interval(values, problems=problems)
    return f"[{found.low:+.1f}, {found.high:+.1f}]"


def _ends(pairs: Sequence[tuple[float | None, float | None]], scale: float, form: str) -> str:
    first, last = ([scale * value for pair in pairs if (value := pair[side]) is not None] for side in (0, 1))
    return f"{np.mean(first):{form}} to {np.mean(last):{form}}" if first and last else ""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("runs/policies"), help="continued")
    parser.add_argument("--methods", default="raft,grpo")
    parser.add_argument("--scorers", nargs="*", default=["genprm-tiny"], help="names, or NAME=FOLDER")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at work at once")
    return parser


if __name__ == "__main__":
    main()
