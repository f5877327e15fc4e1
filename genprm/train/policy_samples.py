"""Solutions of a policy: sampled once, kept as they come, and what they show of the policy.

The file of a set of problems put to one policy holds one line a solution (``genprm.rollout.samples``). What is there is
not sampled again. A solution depends on policy, problem, index and seed alone, so who is killed loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genprm import background
from genprm.engines import Sampling
from genprm.evaluate.statistics import mean_interval
from genprm.rollout.completer import Settings
from genprm.rollout.opening import Opening
from genprm.rollout.samples import Order, Sample, SampleOrder, sample_from_dict, sample_to_dict, solution_of
from genprm.rollout.seeds import sample_key
from genprm.runs.held import OneOpen
from genprm.runs.keys import seed_of
from genprm.runs.owed import Unavailable, work_off
from genprm.runs.units import UnitFile
from genprm.train.models import Report
from genprm.train.options.policies import PolicyTraining, SamplingOptions
from genprm.train.policy_rewards import Reward, Rewards
from genprm.types import Problem

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Task:
    """Problems put to a policy."""

    policy: str
    """A folder or a name."""
    problems: Sequence[Problem]
    samples: int
    """Solutions of each."""
    temperature: float
    seed: int
    """Of the draws."""
    what: str
    """As a report calls it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What some solutions show."""

    solutions: int
    accuracy: float | None
    """Share whose answer is right, of all; ``None`` without solutions."""
    interval: tuple[float, float] | None
    """95 %, problems resampled."""
    format: float | None
    """Share that ended by itself, in steps, with an answer."""
    tokens: float | None
    """Of a solution, in the mean."""
    reward: float | None
    """Mean score, of those that have one."""

    def describe(self) -> str:
        if self.accuracy is None or self.interval is None:
            return "no solutions"
        reward = "" if self.reward is None else f", reward {self.reward:.3f}"
        low, high = self.interval
        return (
            f"{self.accuracy:.1%} of {self.solutions:,} solutions are right [{low:.1%}, {high:.1%}]{reward}, "
            f"{self.tokens:.0f} tokens, {self.format:.1%} with the right format"
        )


def held_out_task(options: PolicyTraining, policy: str, problems: Sequence[Problem], what: str) -> Task:
    """The held-out problems put to a policy: the same seeds whichever it is, so that policies are compared in pairs."""
    heldout = options.heldout
    return Task(policy, problems, heldout.samples, heldout.temperature, seed_of("held-out", options.seed), what)


def solve(task: Task, options: SamplingOptions, units: UnitFile, report: Report) -> list[Sample]:
    """The solutions, by problem and index. Raises ``EngineUnavailable`` or ``GraderUnavailable`` at the end, with all
    that is finished kept, when infrastructure lost some.
    """
    asked = {"temperature": task.temperature, "seed": task.seed, "style": options.style, "system": options.system,
             "top_p": options.top_p, "top_k": options.top_k, "max_tokens": options.max_tokens}  # fmt: skip
    orders = [
        SampleOrder(sample_key(asked, problem, index), problem, index)
        for problem in task.problems
        for index in range(task.samples)
    ]
    owed = [order for order in orders if order.key not in units]
    if owed:
        report(f"{task.what}: {len(owed):,} solutions to be sampled from {task.policy}")
        background.shared().run(_sampled(_opening(task, options), owed, units))
    return [sample_from_dict(units[order.key], source=str(units.path)) for order in orders]


def rewards_of(samples: Iterable[Sample], problems: Sequence[Problem], rewards: Rewards) -> dict[str, Reward]:
    """By key, of the samples with the right format: the others are no solutions. Raises as ``Rewards.of``."""
    by_id = {problem.id: problem for problem in problems}
    valid = [one for one in samples if one.outcome != "invalid"]
    solutions = [solution_of(one, by_id[one.problem_id], "") for one in valid]
    return dict(zip((one.key for one in valid), rewards.of(solutions), strict=True))


def figures(samples: Iterable[Sample], rewards: Mapping[str, Reward]) -> Figures:
    """What samples show; ``rewards`` by key, of those that have one."""
    found = list(samples)
    if not found:
        return Figures(0, None, None, None, None, None)
    right = np.array([one.outcome == "correct" for one in found], dtype=float)
    accuracy = mean_interval(right, problems=[one.problem_id for one in found], resamples=RESAMPLES)
    scores = (rewards[one.key].score for one in found if one.key in rewards)
    known = [score for score in scores if score is not None]
    return Figures(
        solutions=len(found),
        accuracy=accuracy.value,
        interval=(accuracy.low, accuracy.high),
        format=sum(one.outcome != "invalid" for one in found) / len(found),
        tokens=sum(one.tokens for one in found) / len(found),
        reward=sum(known) / len(known) if known else None,
    )


def _opening(task: Task, options: SamplingOptions) -> Opening:
    return Opening(
        task.policy,
        options.engine,
        Settings(style=options.style, system=options.system, max_tokens=options.max_tokens),
        Sampling(task.temperature, options.top_p, options.top_k),
        task.seed,
        engine_options=options.engine_options,
    )


async def _sampled(opening: Opening, owed: Sequence[Order], units: UnitFile) -> None:
    held, left = OneOpen(None), len(owed)

    def keep(order: Order, sample: Any) -> None:
        nonlocal left
        left -= 1
        units.append(sample_to_dict(sample))

    lost: Unavailable | None = None
    try:
        lost = await work_off(await held.get(opening), owed, keep, lambda order, error: None)
    finally:
        await held.aclose()
    if lost is not None:
        raise type(lost)(f"{lost}; {left} solutions are owed in {units.path}: run the same command again to continue")
