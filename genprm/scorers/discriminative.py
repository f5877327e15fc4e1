"""Discriminative scorers: one pass over a solution gives the rewards of all its steps.

``TokenScorer`` reads two tokens at step tags (Math-Shepherd, ER-PRM, RLHFlow), ``HeadScorer`` a head at "<extra_0>"
(Qwen2.5-Math-PRM), ``OutcomeScorer`` a model that was trained on one label at the end of a solution. A step behind the
model's context ``failed`` with ``context`` and what follows is ``not_run``; the steps before it keep their rewards, for
nothing behind them can change those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from genprm import resources
from genprm.errors import EngineUnavailable, InputError
from genprm.scorers.base import Scored, StepReward, require_steps
from genprm.stepformats import FORMATS, READABLE, FormatName, Marked
from genprm.types import Solution

if TYPE_CHECKING:
    from genprm.scorers.network import Kept, Network

TOO_LONG = StepReward(None, "failed", "context")
NOT_RUN = StepReward(None, "not_run")


@dataclass(frozen=True, slots=True)
class Prefix:
    """A solution so far, with the keys and values of its tokens."""

    problem: str
    steps: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    kept: Kept = field(default=(), repr=False, compare=False)
    ended: bool = False
    """A step was too long for the context; none after it is scored."""


class _Discriminative:
    """What is common to all: the network does the work on a thread, so the event loop goes on."""

    kind: ClassVar[str]
    in_one_pass = True

    def __init__(self, model: str, format: FormatName | None = None, **options: Any) -> None:
        """``options`` are those of ``Network``: device, dtype, batch_tokens. Raises ``ModelError``."""
        formats = READABLE[self.kind]
        chosen = format or formats[0]
        if chosen not in formats:
            raise InputError(f"a {self.kind} scorer has no format '{chosen}'; it has {', '.join(formats)}")
        from genprm.scorers.network import Network

        self._model_name = model
        self._network: Network | None = Network(resources.model(model), FORMATS[chosen], **options)
        self._format: FormatName = chosen

    @property
    def identity(self) -> Mapping[str, Any]:
        network = self._open()
        return {
            "scorer": self.kind,
            "format": self._format,
            "model": self._model_name,
            "revision": network.revision,
            "dtype": str(network.dtype).removeprefix("torch."),
            "context_length": network.context_length,
        }

    async def score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        require_steps(solutions)
        return await asyncio.to_thread(self._score, tuple(solutions))

    def begin(self, problem: str) -> Prefix:
        return Prefix(problem)

    async def extend(self, state: Prefix, step: str) -> tuple[Prefix, StepReward]:
        return await asyncio.to_thread(self._extend, state, step)

    async def aclose(self) -> None:
        if self._network is not None:
            await asyncio.to_thread(self._network.close)
        self._network = None

    def _open(self) -> Network:
        if self._network is None:
            raise EngineUnavailable("the scorer is closed; open another one")
        return self._network

    def _score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        network = self._open()
        rows = [_fitting(network.encode(one.problem, one.steps), network.context_length) for one in solutions]
        found = iter(network.read([row for row in rows if row.places]))
        read = (next(found) if row.places else () for row in rows)
        told = zip(read, rows, solutions, strict=True)
        return tuple(_scored(values, row.places, len(one.steps)) for values, row, one in told)

    def _extend(self, state: Prefix, step: str) -> tuple[Prefix, StepReward]:
        network, steps = self._open(), (*state.steps, step)
        if state.ended:
            return Prefix(state.problem, steps, ended=True), NOT_RUN
        row = network.encode(state.problem, steps)
        ids = row.ids[: row.places[-1] + 1]
        if len(ids) > network.context_length:
            return Prefix(state.problem, steps, ended=True), TOO_LONG
        # A token at the seam may have become another one: what is reused is what is the same.
        same = min(_shared(state.ids, ids), len(ids) - 1)
        reward, kept = network.read_behind(state.kept, same, ids[same:])
        return Prefix(state.problem, steps, ids, kept), StepReward(reward, tokens=len(ids) - same)


class TokenScorer(_Discriminative):
    """Two tokens at each step tag: the reward is the share of the first in the softmax over both."""

    kind = "token"


class HeadScorer(_Discriminative):
    """A head of two classes at each "<extra_0>": the reward is the softmax's share of the second."""

    kind = "head"


class OutcomeScorer(_Discriminative):
    """A model of whole solutions. The reward of step t is that of the solution were it to end there, so the last one
    is the solution's own, and the others are how outcome models are used step by step."""

    kind = "orm"


def _fitting(row: Marked, limit: int) -> Marked:
    """The part of a row that fits, cut behind the last place within."""
    places = tuple(place for place in row.places if place < limit)
    return Marked(row.ids[: places[-1] + 1] if places else (), places)


def _scored(values: Sequence[float], places: Sequence[int], steps: int) -> Scored:
    missing = [TOO_LONG, *[NOT_RUN] * steps][: steps - len(values)]
    spans = (place - before for before, place in pairwise((-1, *places)))
    return Scored((*(StepReward(value, tokens=span) for value, span in zip(values, spans, strict=True)), *missing))


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((n for n, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
                min(len(first), len(second)))  # fmt: skip
