"""The scorer's part of a search: the rewards of the prefixes of one problem, each asked for once.

What a scorer keeps of a prefix is kept as long as it may be needed: text for the whole search; tensors, which can be
large, only of prefixes that still grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from genprm.runs.pool import together
from genprm.scorers.base import StepReward, StepScorer
from genprm.search.paths import Steps
from genprm.search.plan import Score
from genprm.types import Solution
from genprm.verify.aggregate import scores


class Verified:
    """What a scorer says of the prefixes of one problem. Its calls follow one another; each asks for many at once."""

    def __init__(self, scorer: StepScorer[Any], problem: str) -> None:
        self._scorer = scorer
        self._problem = problem
        self._rewards: dict[Steps, StepReward] = {}
        """Of the last step of each prefix."""
        self._states: dict[Steps, Any] = {(): scorer.begin(problem)}
        self.tokens = 0
        """Spent by the scorer so far."""

    @property
    def judged(self) -> int:
        """Prefixes that were asked for."""
        return len(self._rewards)

    async def grow(self, solutions: Iterable[Steps]) -> None:
        """Score what is new in prefixes that go on from known ones.

        Raises ``EngineUnavailable`` or ``SandboxUnavailable``.
        """
        wanted = list(dict.fromkeys(solutions))
        for length in range(1, max(map(len, wanted), default=0) + 1):
            ends = dict.fromkeys(one[:length] for one in wanted if len(one) >= length)
            new = [one for one in ends if one not in self._rewards]
            await together(self._restore(parent) for parent in dict.fromkeys(one[:-1] for one in new))
            await together(self._extend(one) for one in new)

    async def whole(self, solutions: Iterable[Steps]) -> None:
        """Score whole solutions, each distinct one once. Raises as ``grow`` does."""
        wanted = [one for one in dict.fromkeys(solutions) if one and one not in self._rewards]
        if not self._scorer.in_one_pass:
            await self.grow(wanted)
            return
        for one, scored in zip(
            wanted, await self._scorer.score([Solution(self._problem, one) for one in wanted]), strict=True
        ):
            for length, reward in enumerate(scored.steps, start=1):
                self.tokens += reward.tokens  # read again, also where another solution begins alike
                self._rewards.setdefault(one[:length], reward)

    def rewards(self, steps: Steps) -> tuple[float | None, ...]:
        """One a step; ``None`` where it was not judged."""
        ends = (self._rewards.get(steps[:length]) for length in range(1, len(steps) + 1))
        return tuple(None if reward is None else reward.reward for reward in ends)

    def score(self, steps: Steps, score: Score) -> float | None:
        """Of a prefix, by its rewards; ``None`` without steps or where one of them was not judged."""
        value: float | None = getattr(scores(self.rewards(steps)), score)
        return value

    def forget(self, growing: Iterable[Steps]) -> None:
        """Free the tensors of all prefixes but these."""
        if self._scorer.in_one_pass:
            kept = {(), *growing}
            self._states = {steps: state for steps, state in self._states.items() if steps in kept}

    async def _extend(self, steps: Steps) -> None:
        state, reward = await self._scorer.extend(self._states[steps[:-1]], steps[-1])
        self._states[steps] = state
        self._rewards[steps] = reward
        self.tokens += reward.tokens

    async def _restore(self, steps: Sequence[str]) -> None:
        """What was freed of a prefix that another path has come to again."""
        known = tuple(steps)
        while known not in self._states:
            known = known[:-1]
        for length in range(len(known) + 1, len(steps) + 1):
            await self._extend(tuple(steps[:length]))
