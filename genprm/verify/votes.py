"""One vote: a chain of rationales over a whole solution, with its own history and its own code session.

The dialogue says what to do; here it is done. A vote depends on its solution, its seed and the settings alone, so
neither order nor concurrency changes it. After a failed step the vote ends: the rest is ``not_run``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, get_args

from genprm import prompts
from genprm.engines.base import Engine, GenerationRequest, Sampling, Tokenizer
from genprm.errors import EngineUnavailable, InputError, SandboxUnavailable
from genprm.execution.base import ExecutionResult, Sandbox, Session
from genprm.rationale.actions import Action, Execute, Generate, Generated, ReadOut, Reply
from genprm.rationale.dialogue import judge_step
from genprm.rationale.history import remembered
from genprm.rationale.settings import Settings
from genprm.types import ExecutionStatus, Failure, Segment, Solution, StepVerdict, Vote
from genprm.verify.readout import read_out
from genprm.verify.seeds import request_seed, vote_seed

Turn = tuple[Segment, ...]
DEFAULT_CAPACITY = 64
"""Votes at once where neither engine nor sandbox states a limit."""


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a vote depends on besides its solution, without what runs it: the same for every judge of a run."""

    engine: Mapping[str, str]
    """The engine's identity."""
    context_length: int
    sandbox: Mapping[str, Any] | None
    """The sandbox's identity; none where no code is run."""
    settings: Settings
    sampling: Sampling
    run_seed: int
    tokenizer: Tokenizer = field(compare=False)


@dataclass(frozen=True, slots=True)
class Begun:
    """A vote so far: what one that was saved goes on from."""

    verdicts: tuple[StepVerdict, ...] = ()
    turns: tuple[Turn, ...] = ()
    """What the model wrote on each judged step."""

    @property
    def ended(self) -> bool:
        """A step has failed; nothing after it is judged."""
        return len(self.turns) < len(self.verdicts)


@dataclass(frozen=True, slots=True)
class Order:
    """A vote to be run, to its end or to its first so many ``steps``, from its start or from where it was saved."""

    solution: Solution
    vote: int
    key: str = ""
    steps: int | None = None
    begun: Begun = Begun()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A vote, and the infrastructure failure that ended it, if one did: such a vote is no result, it is owed."""

    vote: Vote
    error: EngineUnavailable | SandboxUnavailable | None = None
    cell_seconds: tuple[float, ...] = ()
    """What each cell took in the sandbox."""
    begun: Begun = Begun()
    """The same vote as something to go on from."""


@dataclass(frozen=True, slots=True)
class Judge:
    """An engine, a sandbox and how they are used: a ``Worker`` whose orders are votes.

    ``sandbox`` is needed where settings say that code is run. ``concurrency``: most votes at once.
    """

    engine: Engine
    sandbox: Sandbox | None
    settings: Settings
    sampling: Sampling = field(default_factory=Sampling)
    run_seed: int = 0
    concurrency: int | None = None

    def __post_init__(self) -> None:
        check_concurrency(self.concurrency)

    @property
    def facts(self) -> Terms:
        """What its votes depend on."""
        engine, sandbox = self.engine, self.sandbox
        return Terms(
            dict(engine.identity), engine.context_length, None if sandbox is None else dict(sandbox.identity),
            self.settings, self.sampling, self.run_seed, engine.tokenizer,
        )  # fmt: skip

    @property
    def capacity(self) -> int:
        """Votes at once: what the engine batches (or ``concurrency``), at most what the sandbox has sessions for."""
        limits = [self.concurrency or int(getattr(self.engine, "max_batch", DEFAULT_CAPACITY))]
        if self.sandbox is not None:
            limits.append(self.sandbox.max_sessions)
        return max(1, min(limits))

    async def run(self, order: Order) -> Attempt:
        """Run one vote. Failures of its engine and sandbox are caught here alone."""
        solution, mode = order.solution, self.settings.mode
        seed = vote_seed(self.run_seed, solution.id, order.vote)
        verdicts, turns = list(order.begun.verdicts), list(order.begun.turns)
        steps = len(solution.steps) if order.steps is None else order.steps
        try:
            async with LazySession(self.sandbox, _sources(verdicts)) as session:
                if not order.begun.ended:
                    await _run_steps(solution, steps, self, session, seed, verdicts, turns)
        except (EngineUnavailable, SandboxUnavailable) as error:
            return lost(order, self.facts, error, verdicts)
        begun = Begun(tuple(verdicts), tuple(turns))
        verdicts.extend([StepVerdict("not_run", mode)] * (len(solution.steps) - len(verdicts)))
        vote = Vote(order.key, solution.id, order.vote, seed, tuple(verdicts))
        return Attempt(vote, None, tuple(session.seconds), begun)

    async def aclose(self) -> None:
        """Close engine and sandbox."""
        await self.engine.aclose()
        if self.sandbox is not None:
            await self.sandbox.aclose()


def check_concurrency(wanted: int | None) -> None:
    """Raises ``InputError`` for a number of votes at once that is none."""
    if wanted is not None and wanted < 1:
        raise InputError(f"concurrency (--max-in-flight) is {wanted}; it must be at least 1")


def lost(
    order: Order, terms: Terms, error: EngineUnavailable | SandboxUnavailable, verdicts: Sequence[StepVerdict] = ()
) -> Attempt:
    """The attempt that infrastructure ended after these verdicts."""
    failure: Failure = "engine" if isinstance(error, EngineUnavailable) else "sandbox"
    mode, count = terms.settings.mode, len(order.solution.steps)
    steps = [*verdicts, StepVerdict("failed", mode, failure=failure), *[StepVerdict("not_run", mode)] * count][:count]
    seed = vote_seed(terms.run_seed, order.solution.id, order.vote)
    return Attempt(Vote(order.key, order.solution.id, order.vote, seed, tuple(steps)), error)


class LazySession:
    """The code session of one vote, opened at its first cell; votes that run no code never open one.

    A vote that goes on brings the cells that it ran before; they are run again first, for their variables.
    """

    def __init__(self, sandbox: Sandbox | None, before: Sequence[str] = ()) -> None:
        self._sandbox = sandbox
        self._before = before
        self._session: Session | None = None
        self.seconds: list[float] = []
        """What each cell took."""

    async def run(self, source: str) -> ExecutionResult:
        """Run one cell. Raises ``SandboxUnavailable``."""
        if self._session is None:
            if self._sandbox is None:
                raise InputError("these settings run code but there is no sandbox; give one or switch execution off")
            self._session = self._sandbox.session()
            for earlier in self._before:
                await self._session.run(earlier)
        result = await self._session.run(source)
        self.seconds.append(result.duration_s)
        return result

    async def __aenter__(self) -> LazySession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.aclose()


class StepDriver:
    """Does what the dialogue of one step asks for."""

    def __init__(
        self, judge: Judge, session: LazySession, solution: Solution, step: int, history: tuple[Turn, ...], seed: int
    ) -> None:
        self._judge = judge
        self._session = session
        self._step = step
        self._seed = seed
        self._requests = 0
        settings, tokenizer = judge.settings, judge.engine.tokenizer
        turns = remembered(history, settings)
        opening = prompts.render(
            solution.problem, solution.steps, turns, tokenizer, mode=settings.mode, style=settings.prompt_style
        )
        # Every segment is encoded alone, so the opening's ids stay the same as the turn grows behind it.
        self._opening = prompts.encode(opening, tokenizer).ids

    async def perform(self, action: Action) -> Reply:
        """The reply to an action. Raises ``EngineUnavailable`` or ``SandboxUnavailable``."""
        if isinstance(action, Generate):
            return await self.generate(action)
        if isinstance(action, Execute):
            return await self._session.run(action.source)
        return await read_out(self._judge.engine, self._prompt(action))

    async def generate(self, action: Generate) -> Generated:
        """Ask the engine to go on; the seed depends on the vote, the step and the number of the request."""
        request = GenerationRequest(
            prompt=self._prompt(action),
            stop=action.stop,
            max_tokens=action.max_tokens,
            seed=request_seed(self._seed, self._step, self._requests),
            sampling=self._judge.sampling,
        )
        self._requests += 1
        done = await self._judge.engine.generate(request)
        return Generated(done.text, done.ids, done.stop_reason, done.prompt_tokens)

    def _prompt(self, action: Generate | ReadOut) -> tuple[int, ...]:
        return self._opening + prompts.encode(action.segments, self._judge.engine.tokenizer).ids


async def run_vote(solution: Solution, index: int, judge: Judge, *, key: str = "") -> Vote:
    """Run one vote to its end; what infrastructure lost is ``failed`` with failure engine or sandbox."""
    return (await judge.run(Order(solution, index, key))).vote


def _sources(verdicts: Sequence[StepVerdict]) -> list[str]:
    """The cells that a vote has run."""
    return [run.source for verdict in verdicts for run in verdict.code if run.status in get_args(ExecutionStatus)]


async def _run_steps(
    solution: Solution,
    steps: int,
    judge: Judge,
    session: LazySession,
    seed: int,
    verdicts: list[StepVerdict],
    turns: list[Turn],
) -> None:
    """Judge the steps behind ``verdicts``, adding to them and to ``turns``."""
    for step in range(len(verdicts), steps):
        driver = StepDriver(judge, session, solution, step, tuple(turns), seed)
        verdict, turn = await drive(driver, judge, step)
        verdicts.append(verdict)
        if verdict.status != "judged":
            return
        turns.append(turn)


async def drive(driver: StepDriver, judge: Judge, step: int) -> tuple[StepVerdict, Turn]:
    """Run the dialogue of one step; ``driver`` does what it asks for."""
    machine = judge_step(judge.settings, step + 1, judge.engine.tokenizer.special_tokens)
    action = next(machine)
    while True:
        reply = await driver.perform(action)
        try:
            action = machine.send(reply)
        except StopIteration as done:
            result = done.value
            return result.verdict, result.turn
        # An engine or sandbox that answers without waiting must not starve the other votes.
        await asyncio.sleep(0)
