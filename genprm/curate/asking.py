"""Who asks models about solutions: a ``Worker`` that annotates (engine and sandbox) or judges (engine alone).

An answer depends on its question, the run's seed and the settings alone. The model sees the problem and the steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from genprm import background, engines, execution, prompts
from genprm.curate.annotation import AnnotationSettings, Critique, annotate
from genprm.curate.judge import judge_prompt, parse_index
from genprm.engines import Engine, GenerationRequest, Sampling, Tokenizer
from genprm.errors import InputError
from genprm.execution import Sandbox
from genprm.rationale.actions import Execute, Generate, Generated
from genprm.rollout.styles import unmarked
from genprm.runs.keys import seed_of
from genprm.types import Segment, Solution

Task = Literal["annotator", "judge"]
DEFAULT_CAPACITY = 64
ANNOTATOR_SAMPLING = Sampling(temperature=0.6, top_p=0.95, top_k=40)
"""GenPRM's synthesis."""


@dataclass(frozen=True, slots=True)
class Question:
    """One opinion to be asked for: the ``index``-th on this solution."""

    key: str
    solution: Solution
    index: int


@dataclass(frozen=True, slots=True)
class Opinion:
    """A judge's answer."""

    index: int | None
    """First wrong step, -1 for none, ``None`` where it cannot be read."""
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Terms:
    """All that answers depend on besides their questions: the same for every worker of a run."""

    task: Task
    engine: Mapping[str, str]
    context_length: int
    sandbox: Mapping[str, Any] | None
    settings: AnnotationSettings
    max_tokens: int
    sampling: Sampling
    run_seed: int
    tokenizer: Tokenizer = field(compare=False)

    @property
    def identity(self) -> dict[str, Any]:
        """The same as plain values."""
        own = {"chunk": asdict(self.settings)} if self.task == "annotator" else {"max_tokens": self.max_tokens}
        return {
            "engine": dict(self.engine), "context_length": self.context_length, "sampling": asdict(self.sampling),
            "sandbox": None if self.sandbox is None else dict(self.sandbox), **own,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opening:
    """What to open; it can be sent to replicas where engine and sandbox are named. ``engine`` as for a verifier."""

    task: Task
    model: str
    engine: str | Callable[[], Engine] | Engine = "auto"
    sandbox: str | Sandbox = "auto"
    settings: AnnotationSettings = field(default_factory=AnnotationSettings)
    max_tokens: int = 4096
    """Of a judge's answer."""
    sampling: Sampling = ANNOTATOR_SAMPLING
    run_seed: int = 0
    concurrency: int | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)

    def following(self, identity: Mapping[str, Any]) -> Opening:
        """The same, with the kinds of a run that has this identity where ``auto`` leaves the choice."""
        resolved = identity.get("resolved") or {}
        engine, sandbox = (resolved.get("engine") or {}).get("engine"), (resolved.get("sandbox") or {}).get("kind")
        return replace(
            self,
            engine=engine if self.engine == "auto" and engine in engines.KINDS else self.engine,
            sandbox=sandbox if self.sandbox == "auto" and sandbox in ("docker", "local") else self.sandbox,
        )

    async def __call__(self) -> Asker:
        """An open worker. What was open already is used and stays its owner's."""
        sandbox = await execution.started_sandbox(self.sandbox) if self.task == "annotator" else None
        try:
            # Loading blocks: on a thread of its own Ctrl-C need not wait for it.
            engine = await background.on_thread(
                lambda: engines.engine_of(self.engine, self.model, **self.engine_options)
            )
        except BaseException:
            if sandbox is not None and sandbox is not self.sandbox:
                await sandbox.aclose()
            raise
        return Asker(self, engine, sandbox)

    async def close(self, asker: Asker) -> None:
        """Close what was opened here."""
        await asker.aclose()


class Asker:
    """Asks one model. Closes what its opening opened; what was open before stays its owner's."""

    def __init__(self, opening: Opening, engine: Engine, sandbox: Sandbox | None) -> None:
        self._opening = opening
        self._engine = engine
        self._sandbox = sandbox

    @property
    def facts(self) -> Terms:
        opening, engine = self._opening, dict(self._engine.identity)
        if isinstance(opening.engine, str):
            engine["model"] = opening.model  # the name that was asked for; the revision tells models apart
        return Terms(
            opening.task, engine, self._engine.context_length,
            None if self._sandbox is None else dict(self._sandbox.identity), opening.settings, opening.max_tokens,
            opening.sampling, opening.run_seed, self._engine.tokenizer,
        )  # fmt: skip

    @property
    def capacity(self) -> int:
        limits = [self._opening.concurrency or int(getattr(self._engine, "max_batch", DEFAULT_CAPACITY))]
        if self._sandbox is not None:
            limits.append(self._sandbox.max_sessions)
        return max(1, min(limits))

    async def run(self, order: Question) -> Critique | Opinion:
        """Ask once. Raises ``EngineUnavailable`` and ``SandboxUnavailable``."""
        return await (self._annotate(order) if self._opening.task == "annotator" else self._judge(order))

    async def aclose(self) -> None:
        if self._engine is not self._opening.engine:
            await self._engine.aclose()
        if self._sandbox is not None and self._sandbox is not self._opening.sandbox:
            await self._sandbox.aclose()

    async def _judge(self, order: Question) -> Opinion:
        solution = order.solution
        segments = prompts.render_policy(
            judge_prompt(solution.problem, _paragraphs(solution)), (), self._engine.tokenizer, system=""
        )
        done = await self._generate(order, 0, segments, (), self._opening.max_tokens)
        whole = done.stop_reason == "eos"
        return Opinion(parse_index(done.text, len(solution.steps)) if whole else None, done.text, len(done.ids))

    async def _annotate(self, order: Question) -> Critique:
        if self._sandbox is None:
            raise InputError("an annotator runs code but there is no sandbox; give one")
        solution, tokenizer = order.solution, self._engine.tokenizer
        asked = prompts.fill("annotate.jinja", problem=solution.problem, steps=_paragraphs(solution))
        system = prompts.fill("system.annotate.jinja")
        machine = annotate(self._opening.settings, len(solution.steps), tokenizer.special_tokens)
        session, requests = self._sandbox.session(), 0
        try:
            action: Generate | Execute = next(machine)
            while True:
                if isinstance(action, Execute):
                    reply: Any = await session.run(action.source)
                else:
                    segments = prompts.render_policy(asked, action.segments, tokenizer, system=system)
                    reply = await self._generate(order, requests, segments, action.stop, action.max_tokens)
                    requests += 1
                try:
                    action = machine.send(reply)
                except StopIteration as done:
                    critique: Critique = done.value
                    return replace(critique, segments=_plain(critique.segments))
                await asyncio.sleep(0)  # an engine that answers at once must not starve the other questions
        finally:
            await session.aclose()

    async def _generate(
        self, order: Question, number: int, segments: tuple[Segment, ...], stop: tuple[str, ...], limit: int
    ) -> Generated:
        opening = self._opening
        request = GenerationRequest(
            prompt=prompts.encode(segments, self._engine.tokenizer).ids, stop=stop, max_tokens=limit,
            seed=seed_of(opening.task, opening.run_seed, order.solution.id, order.index, number),
            sampling=opening.sampling,
        )  # fmt: skip
        done = await self._engine.generate(request)
        return Generated(done.text, done.ids, done.stop_reason, done.prompt_tokens)


def _paragraphs(solution: Solution) -> list[str]:
    """The steps as a reader sees them: numbered by their tags, so without the marks of their own (as GenPRM has it)."""
    return [unmarked(step) or step for step in solution.steps]


def _plain(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Without token ids, which belong to the annotator's tokenizer."""
    return tuple(Segment(segment.author, segment.text) for segment in segments)
