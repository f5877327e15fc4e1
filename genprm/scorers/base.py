"""The scorer contract: what gives every step of a solution a reward. ``contract`` is its executable form.

scorer = open_scorer("runs/head/model")
scored = await scorer.score([Solution(problem="...", steps=("...", "..."))])
scored[0].rewards                       # (0.97, 0.08)

state = scorer.begin("...")             # a search grows solutions step by step
state, step = await scorer.extend(state, "...")

with Synchronous(scorer) as scorer:     # the same for callers without an event loop
    scorer.score(solutions)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from genprm import background
from genprm.errors import InputError
from genprm.types import Failure, Solution, StepStatus


@dataclass(frozen=True, slots=True)
class StepReward:
    """What a scorer says of one step."""

    reward: float | None
    """P(the step is right) in [0, 1]; ``None`` unless ``judged``."""
    status: StepStatus = "judged"
    failure: Failure | None = None
    """Why a step ``failed``: ``context``, where the solution so far is longer than the model's context."""
    tokens: int = field(default=0, compare=False)
    """What it cost: tokens written over all votes (code output too), or tokens read in a pass. Part of the price, not
    of what is said: a step that was scored twice is the same reward."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of one solution, one entry a step. Behind a failed step nothing is judged."""

    steps: tuple[StepReward, ...]

    @property
    def rewards(self) -> tuple[float | None, ...]:
        return tuple(step.reward for step in self.steps)


State = TypeVar("State")


class StepScorer(Protocol[State]):
    """Scores steps. Safe for many concurrent calls on one event loop. What it says depends on problem and steps alone.

    A reward of step t depends on the problem and steps 0..t, so ``extend`` from ``begin`` says of every step what
    ``score`` says of it (up to floating-point noise). States are values: one may be extended many times, by different
    steps, and is not changed by it.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What determines the rewards; plain values."""

    @property
    def in_one_pass(self) -> bool:
        """Whether ``score`` reads a solution for the price of its last step, and a state holds tensors.

        Then whole solutions are better scored than extended, and states are worth keeping only while they grow.
        """

    async def score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        """The rewards of solutions, in their order; none of them depends on which others there are.

        Raises ``InputError`` for a solution without steps; ``EngineUnavailable`` or ``SandboxUnavailable`` when the
        infrastructure is down.
        """

    def begin(self, problem: str) -> State:
        """A solution of the problem that has no step yet."""

    async def extend(self, state: State, step: str) -> tuple[State, StepReward]:
        """The solution with one step more, and the reward of that step; earlier steps are not scored again."""

    async def aclose(self) -> None:
        """Free everything. Idempotent."""


def require_steps(solutions: Sequence[Solution]) -> None:
    """Raises ``InputError`` for a solution that has nothing to score."""
    for solution in solutions:
        if not solution.steps:
            raise InputError(f"the solution '{solution.id}' has no steps; give at least one")


class Synchronous(Generic[State]):
    """A scorer for callers without an event loop; it runs on the loop of the process, so notebooks may use it."""

    def __init__(self, scorer: StepScorer[State]) -> None:
        self.scorer = scorer

    def score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        return background.shared().run(_awaited(self.scorer.score(solutions)))

    def begin(self, problem: str) -> State:
        return self.scorer.begin(problem)

    def extend(self, state: State, step: str) -> tuple[State, StepReward]:
        extended: tuple[State, StepReward] = background.shared().run(_awaited(self.scorer.extend(state, step)))
        return extended

    def close(self) -> None:
        background.shared().run(_awaited(self.scorer.aclose()))

    def __enter__(self) -> Synchronous[State]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _awaited(work: Any) -> Any:
    return await work
