"""Reward-ranked fine-tuning: sample, score with a frozen reward model, keep the best, train on it, repeat.

As in ER-PRM (arXiv 2412.11006): fresh problems in every iteration, one solution kept of each, the policy trained on
from where it stands. The folder of a training::

    problems.jsonl          the problems held out
    rewards.jsonl           what the reward model said, appended; nothing is scored twice
    iteration-0/            the first policy: heldout.jsonl (its held-out solutions), figures.json
    iteration-1/            problems.jsonl, samples.jsonl, kept.jsonl (solution records), training/ (an ordinary
                            training, with model/), heldout.jsonl, figures.json
    log/raft.jsonl          a line of figures for each iteration
    model/  metrics.json    the last policy; all figures, written last

What is there is used: a training that was killed goes on and ends as if it had not been. Every draw has a seed that
depends on what is drawn, never on when. ``metrics.json`` has, for every policy, the reward beside the true accuracy on
the problems held out: where the one rises and the other does not, the policy has learned to please the reward model.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genprm.errors import InputError
from genprm.records import solution_to_dict, write_lines
from genprm.records.lines import replace_text
from genprm.rollout.problems import problem_to_dict
from genprm.rollout.samples import Sample, solution_of
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.runs.directory import PROBLEMS
from genprm.runs.keys import digest, seed_of
from genprm.runs.units import UnitFile
from genprm.train import generative
from genprm.train.models import Report, processor
from genprm.train.options.policies import RaftTraining
from genprm.train.policy_card import write_policy_card
from genprm.train.policy_problems import held_out, part
from genprm.train.policy_rewards import Reward, Rewards
from genprm.train.policy_samples import Figures, Task, figures, held_out_task, rewards_of, solve
from genprm.train.running import Trained, finished, read_figures, write_start
from genprm.train.running import run as run_training
from genprm.train.solutions import TEXT
from genprm.types import Problem

REWARDS, FIGURES, LOG = "rewards.jsonl", "figures.json", "raft.jsonl"


def run(options: RaftTraining, config: Configuration, name: str, out: Path, report: Report) -> Trained:
    """Train to the end; called again on the same folder, go on.

    Raises ``InputError`` before anything is written; ``EngineUnavailable``, ``SandboxUnavailable`` or
    ``GraderUnavailable``, what is finished being kept, when infrastructure is down.
    """
    problems = held_out(options)
    for number in range(options.iterations):
        part(options, number, problems)
    Rewards(options.reward, options.seed)  # says what is wrong with it
    records = [problem_to_dict(problem) for problem in problems]
    with RunDirectory.open(out, config, records, records_name=PROBLEMS, units=REWARDS) as directory:
        directory.write_environment(environment(processor=processor()))
        return _Raft(options, config, name, directory, problems, report).work()


def best(samples: Sequence[Sample], rewards: Mapping[str, Reward], floor: float, seed: int) -> list[Sample]:
    """The best solution of each problem, in the order of the problems; none of one where no score reaches ``floor``.

    Of equals the seed decides, so that no place in the sample is preferred.
    """
    chosen: dict[str, tuple[float, str, Sample]] = {}
    for sample in samples:
        score = rewards[sample.key].score if sample.key in rewards else None
        if score is None or score < floor:
            continue
        entry = score, digest("tie", seed, sample.id), sample
        if sample.problem_id not in chosen or entry[:2] > chosen[sample.problem_id][:2]:
            chosen[sample.problem_id] = entry
    problems = dict.fromkeys(sample.problem_id for sample in samples)
    return [chosen[problem][2] for problem in problems if problem in chosen]


class _Raft:
    """The iterations of one training."""

    def __init__(
        self, options: RaftTraining, config: Configuration, name: str, directory: RunDirectory,
        heldout: Sequence[Problem], report: Report,
    ) -> None:  # fmt: skip
        self._options, self._config, self._name, self._directory = options, config, name, directory
        self._heldout, self._report = heldout, report
        self._rewards = Rewards(options.reward, options.seed, directory.units)

    def work(self) -> Trained:
        found = [self._iteration(number) for number in range(self._options.iterations + 1)]
        out = self._directory.path
        _copy(self._policy_folder(self._options.iterations), out / "model")
        metrics = self._metrics(found)
        write_policy_card(out / "model", self._name, self._options, metrics)
        self._directory.write_metrics(metrics)
        self._report(f"{self._options.iterations} iterations; model in {out / 'model'}")
        return finished(out)

    def _iteration(self, number: int) -> dict[str, Any]:
        """The figures of an iteration; what is done of it is not done again."""
        folder = self._directory.path / f"iteration-{number}"
        kept = folder / FIGURES
        if kept.exists():
            return read_figures(kept)
        folder.mkdir(exist_ok=True)
        started = time.monotonic()
        found: dict[str, Any] = {"iteration": number}
        if number > 0:
            found |= self._improve(number, folder)
        heldout = self._held_out(number)
        found["heldout"] = asdict(heldout)
        found["minutes"] = round((time.monotonic() - started) / 60, 2)
        replace_text(kept, json.dumps(found, indent=2) + "\n")
        self._report(f"policy {number}: {heldout.describe()}")
        return found

    def _improve(self, number: int, folder: Path) -> dict[str, Any]:
        """Sample, score, keep, train."""
        options = self._options
        problems = part(options, number - 1, self._heldout)
        write_lines(folder / PROBLEMS, map(problem_to_dict, problems))
        policy, seed = self._policy(number - 1), seed_of("iteration", options.seed, number)
        task = Task(
            policy, problems, options.sampling.samples, options.sampling.temperature, seed, f"iteration {number}"
        )
        samples = solve(task, options.sampling, self._units(folder / "samples.jsonl"), self._report)
        rewards = self._judged(samples, problems, f"iteration {number}")
        kept = best(samples, rewards, self._rewards.floor, seed)
        if not kept:
            raise InputError(self._nothing(number, samples, rewards))
        by_id = {problem.id: problem for problem in problems}
        records = (_record(one, by_id[one.problem_id], policy, rewards[one.key]) for one in kept)
        write_lines(folder / "kept.jsonl", records)
        trained = self._train(number, folder)
        return {
            "sampled": asdict(figures(samples, rewards)),
            "kept": asdict(figures(kept, rewards)),
            "training": {"steps": trained.steps, "loss": trained.loss},
        }

    def _nothing(self, number: int, samples: Sequence[Sample], rewards: Mapping[str, Reward]) -> str:
        """Why there is nothing to train on."""
        known = sum(one.score is not None for one in rewards.values())
        right = sum(one.outcome == "correct" for one in samples)
        return (
            f"iteration {number} has nothing to train on: of {len(samples)} solutions {len(rewards)} have the right "
            f"format, {right} the right answer, and {known} were judged {self._options.reward.describe()}; look into "
            f"{self._directory.path / f'iteration-{number}' / 'samples.jsonl'}, and take another policy or reward"
        )

    def _judged(self, samples: Sequence[Sample], problems: Sequence[Problem], what: str) -> dict[str, Reward]:
        self._report(f"{what}: {len(samples):,} solutions to be judged {self._options.reward.describe()}")
        try:
            return rewards_of(samples, problems, self._rewards)
        finally:
            self._rewards.rest()

    def _train(self, number: int, folder: Path) -> Trained:
        out = folder / "training"
        if (out / "metrics.json").exists():
            return finished(out)
        self._report(f"iteration {number}: training")
        name = f"{self._name}, iteration {number}"
        options = self._options.stage(number, self._policy(number - 1), str(folder / "kept.jsonl"))
        prepared = generative.prepare(options, {}, out, self._report)
        write_start(
            out, Configuration("train", {"recipe": name, **options.model_dump(mode="json")}), prepared.tokenizer
        )
        return run_training(options, out, prepared, name, self._report)

    def _held_out(self, number: int) -> Figures:
        what = f"policy {number}, held out"
        task = held_out_task(self._options, self._policy(number), self._heldout, what)
        units = self._units(self._directory.path / f"iteration-{number}" / "heldout.jsonl")
        samples = solve(task, self._options.sampling, units, self._report)
        rewards = self._judged(samples, self._heldout, what) if self._options.scores_heldout else {}
        return figures(samples, rewards)

    def _units(self, path: Path) -> UnitFile:
        return self._directory.open_units(str(path.relative_to(self._directory.path)))

    def _policy(self, number: int) -> str:
        """What iteration ``number`` left; the recipe's base before the first."""
        return str(self._policy_folder(number)) if number else str(self._options.model.base)

    def _policy_folder(self, number: int) -> Path:
        return self._directory.path / f"iteration-{number}" / "training" / "model"

    def _metrics(self, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        write_lines(self._directory.log / LOG, found)
        last = finished(self._policy_folder(self._options.iterations).parent)
        return {
            "kind": "raft",
            "steps": sum(one["training"]["steps"] for one in found[1:]),
            "minutes": round(sum(one["minutes"] for one in found), 2),
            "loss": last.loss,
            "parameters": last.parameters,
            "accuracy_before": found[0]["heldout"]["accuracy"],
            "accuracy_after": found[-1]["heldout"]["accuracy"],
            "iterations": list(found),
        }


def _record(sample: Sample, problem: Problem, policy: str, reward: Reward) -> Mapping[str, Any]:
    """A solution record with the policy's own text, and the rewards of its steps."""
    solution = solution_of(sample, problem, policy)
    steps = tuple(step for step in reward.steps if step is not None)
    extra = {**solution.extra, TEXT: sample.text, "score": reward.score}
    whole = len(steps) == len(solution.steps)
    return solution_to_dict(replace(solution, extra=extra, reward=steps if whole else reward.score))


def _copy(source: Path, target: Path) -> None:
    """A folder as a whole or not at all."""
    part_of = target.with_name(f"{target.name}.part")
    shutil.rmtree(part_of, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, part_of)
    part_of.rename(target)
