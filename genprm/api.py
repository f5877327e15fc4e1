"""The Python surface: ``Verifier``.

    with Verifier(model="genprm-tiny", votes=8) as verifier:
        result = verifier.verify(Solution(problem="...", steps=["...", "..."]))
        result.rewards, result.predicted_label, result.votes[0].steps[1].code[0].output

    async with Verifier() as verifier:
        result = await verifier.averify(solution)

Engine and sandbox run on one background event loop, whichever way the verifier is called; so it works in notebooks,
and the two ways may be mixed. Nothing is loaded before the first use.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import threading
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, get_args

from genprm import background, prompts, resources
from genprm.engines.base import Engine, Sampling
from genprm.errors import InputError
from genprm.execution.base import Sandbox
from genprm.rationale.settings import Settings
from genprm.records import Loaded, content_id
from genprm.runs.configuration import Configuration
from genprm.runs.directory import check_folder
from genprm.types import Mode, Settled, Solution, Verification
from genprm.verdicts import VOTE_RULES, VoteRule
from genprm.verify.job import OnProgress, Summary, verify_to_dir
from genprm.verify.many import OnVote, check_fits, check_votes, in_flight, verify_many
from genprm.verify.stopping import SETTLES
from genprm.verify.votes import Judge

Result = TypeVar("Result")
DEFAULT_MODEL = "genprm-tiny"


class Verifier:
    """Judges every step of solutions with ``votes`` independent rationales each.

    ``engine`` is a kind (``auto``, ``transformers``, ...) or an ``Engine``; ``sandbox`` a kind (``auto``, ``local``,
    ``docker``) or a ``Sandbox``. What you give open stays yours to close. ``settings`` says how a step is judged and
    carries the budgets; ``mode`` and ``execute`` are the two of them that are asked for most. ``seed`` is the run's.
    ``settle`` ends the voting on a solution early, once ``votes`` votes could not change its ``labels`` (the verdict of
    every step) or its ``first-error`` any more.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        votes: int = 8,
        engine: str | Engine = "auto",
        mode: Mode | None = None,
        execute: bool | None = None,
        sandbox: str | Sandbox = "auto",
        seed: int = 0,
        sampling: Sampling | None = None,
        settings: Settings | None = None,
        vote_rule: VoteRule = "mean",
        settle: Settled = "all",
        concurrency: int | None = None,
        engine_options: Mapping[str, Any] | None = None,
        sandbox_options: Mapping[str, Any] | None = None,
    ) -> None:
        check_votes(votes)
        if vote_rule not in VOTE_RULES:
            raise InputError(f"vote_rule is '{vote_rule}'; it must be one of {', '.join(VOTE_RULES)}")
        if settle not in SETTLES:
            raise InputError(f"settle is '{settle}'; it must be one of {', '.join(SETTLES)}")
        if mode is not None and mode not in get_args(Mode):
            raise InputError(f"mode is '{mode}'; it must be one of {', '.join(get_args(Mode))}")
        if concurrency is not None and concurrency < 1:
            raise InputError(f"concurrency is {concurrency}; it must be at least 1")
        self.model = model
        self.votes = votes
        self.seed = seed
        self.sampling = sampling or Sampling()
        self.settings = _settings(settings, mode, execute)
        self.vote_rule: VoteRule = vote_rule
        self.settle: Settled = settle
        self.concurrency = concurrency
        self._engine = engine
        self._sandbox = sandbox
        self._engine_options = dict(engine_options or {})
        self._sandbox_options = dict(sandbox_options or {})
        self._judge: Judge | None = None
        self._opening = threading.Lock()

    # Opening and closing

    def open(self) -> Verifier:
        """Load the model and start the sandbox, if that is still to do. Every use does it by itself."""
        self._ready()
        return self

    def close(self) -> None:
        """Free model and sandbox. Idempotent; a later use opens them again."""
        judge, self._judge = self._judge, None
        if judge is not None:
            background.shared().run(self._aclose(judge))

    def __enter__(self) -> Verifier:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Verifier:
        return await asyncio.to_thread(self.open)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    # Verifying

    def verify(self, solution: Solution) -> Verification:
        """All votes on one solution. Raises ``InputError``, ``EngineUnavailable``, ``SandboxUnavailable``."""
        return next(self.verify_many([solution]))

    async def averify(self, solution: Solution) -> Verification:
        """``verify`` for asynchronous callers."""
        judge = await asyncio.to_thread(self._ready)
        return await asyncio.wrap_future(background.shared().submit(self._first(solution, judge)))

    def verify_many(self, solutions: Iterable[Solution], *, on_vote: OnVote | None = None) -> Iterator[Verification]:
        """The verifications in input order, each as soon as it and those before it are there.

        All solutions are worked on together. ``on_vote`` is called, on another thread, as each vote finishes.
        """
        named = with_ids(solutions)
        judge, loop = self._ready(), background.shared()
        stream = verify_many(named, judge, **self._extent(), on_vote=on_vote)
        early: dict[int, Verification] = {}
        try:
            for index in range(len(named)):
                while index not in early:
                    done, verification = loop.run(_next(stream))
                    early[done] = verification
                yield early.pop(index)
        finally:
            loop.run(stream.aclose())

    def verify_to_dir(
        self,
        solutions: Loaded | Iterable[Solution],
        out: Path | str,
        *,
        on_progress: OnProgress | None = None,
        extent: Mapping[str, Any] | None = None,
    ) -> Summary:
        """Verify into a run directory; the same call again continues it.

        ``on_progress`` is called, on another thread, as each vote finishes. ``extent`` adds to the part of
        config.yaml that may change between runs (the limit, for example).
        """
        loaded = solutions if isinstance(solutions, Loaded) else Loaded(with_ids(solutions), source="solutions")
        _require_distinct(loaded.solutions)
        judge = self._ready()
        stated = {**self._extent(), "concurrency": in_flight(judge, self.concurrency), **(extent or {})}
        configuration = Configuration("verify", self.identity, stated, loaded.source)
        return background.shared().run(
            verify_to_dir(loaded, out, judge, configuration, **self._extent(), on_progress=on_progress)
        )

    # Looking

    @property
    def judge(self) -> Judge:
        """The open engine and sandbox with all settings, resolved."""
        return self._ready()

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what a vote says, resolved; plain values."""
        judge = self.judge
        engine = dict(judge.engine.identity)
        if isinstance(self._engine, str):
            # The name that was asked for: the revision tells models apart, and a moved folder is the same model.
            engine["model"] = self.model
        return {
            "engine": engine,
            "context_length": judge.engine.context_length,
            "template": template_digest(judge),
            **asdict(judge.settings),
            "sampling": asdict(judge.sampling),
            "sandbox": self._sandbox_identity(judge),
            "seed": judge.run_seed,
        }

    def first_prompt(self, solution: Solution) -> str:
        """The text of the first prompt for a solution, special tokens included."""
        judge = self.judge
        return "".join(segment.text for segment in _opening(solution, judge))

    def check(self, loaded: Loaded, out: Path | str | None = None) -> None:
        """Raises what ``verify_to_dir`` would raise for these records and this folder. Nothing is run or written.

        ``RecordError`` for a step that does not fit the model's context, ``InputError`` for a folder of other things.
        """
        check_fits(loaded.solutions, self.judge, source=loaded.source, lines=loaded.lines)
        if out is not None:
            check_folder(Path(out), Configuration("verify", self.identity), loaded.solutions)

    # Inside

    def _ready(self) -> Judge:
        with self._opening:  # two threads may come here at once; the model is loaded once
            if self._judge is None:
                self._judge = background.shared().run(self._open())
                atexit.register(_close_at_exit, weakref.ref(self))
            return self._judge

    async def _open(self) -> Judge:
        from genprm.engines import open_engine

        model = resources.model(self.model) if isinstance(self._engine, str) else ""
        # The sandbox first: it is up in a second, and what it lacks must not show after minutes of loading.
        sandbox = await self._open_sandbox()
        try:
            engine = self._engine
            if isinstance(engine, str):
                engine = open_engine(engine, model, **self._engine_options)
        except BaseException:
            await self._aclose_sandbox(sandbox)
            raise
        return Judge(engine, sandbox, self.settings, self.sampling, self.seed)

    async def _open_sandbox(self) -> Sandbox | None:
        from genprm.execution import open_sandbox

        runs_code = self.settings.mode in ("code", "code-only") and self.settings.execute
        if not runs_code:
            return None
        if not isinstance(self._sandbox, str):
            return self._sandbox
        sandbox = await asyncio.to_thread(open_sandbox, self._sandbox, **self._sandbox_options)
        try:
            await sandbox.start()
        except BaseException:
            await sandbox.aclose()
            raise
        return sandbox

    async def _aclose(self, judge: Judge) -> None:
        if judge.engine is not self._engine:
            await judge.engine.aclose()
        await self._aclose_sandbox(judge.sandbox)

    async def _aclose_sandbox(self, sandbox: Sandbox | None) -> None:
        if sandbox is not None and sandbox is not self._sandbox:
            await sandbox.aclose()

    async def _first(self, solution: Solution, judge: Judge) -> Verification:
        stream = verify_many(with_ids([solution]), judge, **self._extent())
        async with aclosing(stream):
            return (await anext(stream))[1]

    def _sandbox_identity(self, judge: Judge) -> dict[str, Any]:
        # Where no code is run, no sandbox and none of its limits can change a vote.
        return {"kind": "none"} if judge.sandbox is None else {**judge.sandbox.identity, **self._sandbox_options}

    def _extent(self) -> dict[str, Any]:
        return {
            "votes": self.votes, "vote_rule": self.vote_rule, "settle": self.settle, "concurrency": self.concurrency,
        }  # fmt: skip


def with_ids(solutions: Iterable[Solution]) -> tuple[Solution, ...]:
    """The solutions, those without id with the id of their content. Raises ``InputError`` for empty ones."""
    return tuple(_with_id(solution) for solution in solutions)


def template_digest(judge: Judge) -> str:
    """Changes when the chat template, the prompts or their style change."""
    text = "".join(segment.text for segment in _opening(Solution("problem", ("step",)), judge))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _opening(solution: Solution, judge: Judge) -> tuple[Any, ...]:
    settings = judge.settings
    return prompts.render(
        solution.problem, solution.steps, (), judge.engine.tokenizer, mode=settings.mode, style=settings.prompt_style
    )


def _with_id(solution: Solution) -> Solution:
    if not solution.problem.strip():
        raise InputError(f"the solution '{solution.id}' has an empty problem; give the problem's text")
    if not solution.steps:
        raise InputError(f"the solution '{solution.id}' has no steps; give at least one")
    if solution.id:
        return solution
    return replace(solution, id=content_id(solution.problem, solution.steps))


def _require_distinct(solutions: Sequence[Solution]) -> None:
    seen: set[str] = set()
    for solution in solutions:
        if solution.id in seen:
            raise InputError(f"two solutions have the id '{solution.id}'; ids must be unique")
        seen.add(solution.id)


def _settings(settings: Settings | None, mode: Mode | None, execute: bool | None) -> Settings:
    settings = settings or Settings()
    return replace(
        settings,
        mode=settings.mode if mode is None else mode,
        execute=settings.execute if execute is None else execute,
    )


async def _next(stream: AsyncIterator[Result]) -> Result:
    return await anext(stream)


def _close_at_exit(reference: weakref.ref[Verifier]) -> None:
    verifier = reference()
    if verifier is not None:
        verifier.close()
