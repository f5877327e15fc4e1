"""The generative verifier as a scorer: a step's reward is the mean of its votes.

Votes are seeded by problem, vote and step, not by the whole solution, so a step that is added to a prefix is judged as
it is in the whole. What is kept of a prefix is every vote's history and the code it ran; that code is run again in a
new session when a later step needs it, and no step is judged twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from genprm import background
from genprm.api import Verifier
from genprm.records import content_id
from genprm.runs.pool import together
from genprm.scorers.base import Scored, StepReward, require_steps
from genprm.types import Failure, Solution, StepStatus, StepVerdict
from genprm.verify.aggregate import aggregate
from genprm.verify.votes import Attempt, Begun, Order

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Votes:
    """A solution so far, and its votes."""

    problem: str
    steps: tuple[str, ...]
    votes: tuple[Begun, ...]


class GenerativeScorer:
    """``options`` are those of ``Verifier``; an early stop (``settle``) has no use here, every reward is asked for."""

    in_one_pass = False

    def __init__(self, model: str, **options: Any) -> None:
        self._verifier = Verifier(model, **options)
        self._slots: asyncio.Semaphore | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        verifier = self._verifier
        votes = {"votes": verifier.votes, "vote_rule": verifier.vote_rule}
        return {"scorer": "generative", **verifier.identity, **votes}

    async def score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        require_steps(solutions)
        return tuple(await self._on_loop(together(self._score(one) for one in solutions)))

    def begin(self, problem: str) -> Votes:
        return Votes(problem, (), (Begun(),) * self._verifier.votes)

    async def extend(self, state: Votes, step: str) -> tuple[Votes, StepReward]:
        solution = _solution(state.problem, (*state.steps, step))
        attempts = await self._on_loop(self._votes(solution, state.votes))
        grown = Votes(state.problem, solution.steps, tuple(attempt.begun for attempt in attempts))
        return grown, self._scored(solution, attempts).steps[-1]

    async def aclose(self) -> None:
        self._slots = None
        await asyncio.to_thread(self._verifier.close)

    async def _score(self, solution: Solution) -> Scored:
        named = _solution(solution.problem, solution.steps)
        return self._scored(named, await self._votes(named, self.begin(solution.problem).votes))

    async def _votes(self, solution: Solution, begun: Sequence[Begun]) -> list[Attempt]:
        return await together(self._vote(Order(solution, index, begun=one)) for index, one in enumerate(begun))

    async def _vote(self, order: Order) -> Attempt:
        worker = self._verifier.voter
        if self._slots is None:
            self._slots = asyncio.Semaphore(worker.capacity)
        async with self._slots:
            attempt = await worker.run(order)
        if attempt.error is not None:
            raise attempt.error
        return attempt

    def _scored(self, solution: Solution, attempts: Sequence[Attempt]) -> Scored:
        votes = [attempt.vote for attempt in attempts]
        item = aggregate(solution, votes, self._verifier.vote_rule)
        columns = [[vote.steps[step] for vote in votes] for step in range(len(solution.steps))]
        told = zip(item.rewards, item.status, columns, strict=True)
        return Scored(tuple(_reward(reward, status, column) for reward, status, column in told))

    async def _on_loop(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Engine and sandbox live on the loop of the process, whichever loop the caller is on."""
        if self._slots is None:
            await asyncio.to_thread(self._verifier.open)
        return await asyncio.wrap_future(background.shared().submit(work))


def _solution(problem: str, steps: Sequence[str]) -> Solution:
    """With an id that seeds the votes on every solution of the problem alike."""
    return Solution(problem, tuple(steps), id=content_id(problem, ()))


def _reward(reward: float | None, status: StepStatus, column: Sequence[StepVerdict]) -> StepReward:
    tokens = sum(step.tokens for step in column)
    return StepReward(reward, status, _failure(column) if status == "failed" else None, tokens)


def _failure(column: Sequence[StepVerdict]) -> Failure:
    """The most frequent one."""
    return Counter(step.failure for step in column if step.failure is not None).most_common(1)[0][0]
