"""One vote: a chain of rationales over a whole solution, with its own history and its own code session.

The dialogue says what to do; here it is done. A vote depends on its solution, its seed and the settings alone, so
neither order nor concurrency changes it. After a failed step the vote ends: the rest is ``not_run``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType

from genprm import prompts
from genprm.engines.base import Engine, GenerationRequest, Sampling
from genprm.errors import EngineUnavailable, InputError, SandboxUnavailable
from genprm.execution.base import ExecutionResult, Sandbox, Session
from genprm.rationale.actions import Action, Execute, Generate, Generated, ReadOut, Reply
from genprm.rationale.dialogue import judge_step
from genprm.rationale.history import remembered
from genprm.rationale.settings import Settings
from genprm.types import Failure, Segment, Solution, StepVerdict, Vote
from genprm.verify.readout import read_out
from genprm.verify.seeds import request_seed, vote_seed

Turn = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """All that decides how a solution is judged. ``sandbox`` is needed where settings say that code is run."""

    engine: Engine
    sandbox: Sandbox | None
    settings: Settings
    sampling: Sampling = field(default_factory=Sampling)
    run_seed: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A vote, and the infrastructure failure that ended it, if one did: such a vote is no result, it is owed."""

    vote: Vote
    error: EngineUnavailable | SandboxUnavailable | None = None


class LazySession:
    """The code session of one vote, opened at its first cell; votes that run no code never open one."""

    def __init__(self, sandbox: Sandbox | None) -> None:
        self._sandbox = sandbox
        self._session: Session | None = None

    async def run(self, source: str) -> ExecutionResult:
        """Run one cell. Raises ``SandboxUnavailable``."""
        if self._session is None:
            if self._sandbox is None:
                raise InputError("these settings run code but there is no sandbox; give one or switch execution off")
            self._session = self._sandbox.session()
        return await self._session.run(source)

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


async def attempt_vote(
    solution: Solution, index: int, judge: Judge, *, key: str = "", steps: int | None = None
) -> Attempt:
    """Run one vote to its end, or to its first so many ``steps``. Infrastructure failures are caught here alone."""
    seed = vote_seed(judge.run_seed, solution.id, index)
    verdicts: list[StepVerdict] = []
    error: EngineUnavailable | SandboxUnavailable | None = None
    try:
        async with LazySession(judge.sandbox) as session:
            await _run_steps(solution, len(solution.steps) if steps is None else steps, judge, session, seed, verdicts)
    except (EngineUnavailable, SandboxUnavailable) as caught:
        error = caught
        failure: Failure = "engine" if isinstance(caught, EngineUnavailable) else "sandbox"
        if len(verdicts) < len(solution.steps):
            verdicts.append(StepVerdict("failed", judge.settings.mode, failure=failure))
    missing = len(solution.steps) - len(verdicts)
    verdicts.extend([StepVerdict("not_run", judge.settings.mode)] * missing)
    return Attempt(Vote(key, solution.id, index, seed, tuple(verdicts)), error)


async def run_vote(solution: Solution, index: int, judge: Judge, *, key: str = "") -> Vote:
    """Run one vote to its end; what infrastructure lost is ``failed`` with failure engine or sandbox."""
    return (await attempt_vote(solution, index, judge, key=key)).vote


async def _run_steps(
    solution: Solution, steps: int, judge: Judge, session: LazySession, seed: int, verdicts: list[StepVerdict]
) -> None:
    turns: list[Turn] = []
    for step in range(steps):
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
