"""A world for searches: the policy of ``tests.rollout.policies``, and a scorer that computes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from genprm.engines import Engine
from genprm.rollout import Settings
from genprm.runs.pool import together
from genprm.scorers import Scored, StepReward
from genprm.search import Found, Plan
from genprm.search.worker import Opening, Order
from genprm.types import Problem, Solution
from tests.rollout import policies

SETTINGS = Settings(max_tokens=400)
PRICE = 10
"""Tokens that the scorer says it spends on a step."""
State = tuple[str, tuple[str, ...]]


class Checker:
    """A scorer that knows the rules: 0.9 for a step that holds, 0.1 for one that does not."""

    def __init__(self, *, in_one_pass: bool = False) -> None:
        self.in_one_pass = in_one_pass
        self.asked: list[State] = []
        """Every prefix that a step was judged behind, with that step."""
        self.closed = False

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"scorer": "checker"}

    async def score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        await asyncio.sleep(0)
        return tuple(
            Scored(tuple(self._reward(one.problem, one.steps[:end]) for end in range(1, len(one.steps) + 1)))
            for one in solutions
        )

    def begin(self, problem: str) -> State:
        return problem, ()

    async def extend(self, state: State, step: str) -> tuple[State, StepReward]:
        await asyncio.sleep(0)
        grown = state[0], (*state[1], step)
        return grown, self._reward(*grown)

    async def aclose(self) -> None:
        self.closed = True

    def _reward(self, problem: str, steps: tuple[str, ...]) -> StepReward:
        self.asked.append((problem, steps))
        return StepReward(0.9 if holds(problem, steps[-1]) else 0.1, tokens=PRICE)


def holds(problem: str, step: str) -> bool:
    a, b, c = map(int, policies.TASK.findall(problem)[-1])
    if found := re.search(r"(\d+) \+ (\d+) = (\d+)", step):
        return int(found[3]) == a + b
    if found := re.search(r"(\d+) \* (\d+) = (\d+)", step):
        return int(found[3]) == int(found[1]) * c
    concluded = re.search(r"boxed\{(\d+)\}", step)
    return concluded is None or int(concluded[1]) == (a + b) * c


def search(
    plan: Plan, problems: Sequence[Problem] | None = None, *, scorer: Any = None, engine: Engine | None = None,
    settings: Settings = SETTINGS, seed: int = 0,
) -> dict[str, Found]:  # fmt: skip
    """Search problems beside each other; what was found, by the problem's id."""

    async def work() -> list[Found]:
        opening = Opening(
            "solver", scorer or Checker(), plan, engine or policies.engine(), settings=settings, run_seed=seed
        )
        worker = await opening()
        try:
            given = policies.problems(4).problems if problems is None else problems
            return await together(worker.run(Order("", problem)) for problem in given)
        finally:
            await opening.close(worker)

    return {one.id: one for one in asyncio.run(work())}
