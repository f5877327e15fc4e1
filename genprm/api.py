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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, get_args

from genprm import background, prompts
from genprm.engines import replica_options
from genprm.engines.base import Engine, Sampling
from genprm.errors import InputError
from genprm.execution.base import Sandbox
from genprm.rationale.settings import Settings
from genprm.records import Loaded, content_id
from genprm.runs.configuration import Configuration
from genprm.runs.directory import begun, check_folder
from genprm.runs.ray import RayCluster, open_ray
from genprm.stepformats import require_generative
from genprm.types import Mode, Segment, Settled, Solution, Verification
from genprm.verdicts import VOTE_RULES, VoteRule
from genprm.verify.job import OnProgress, Summary, verify_to_dir
from genprm.verify.many import OnVote, Voter, check_fits, check_votes, verify_many
from genprm.verify.opening import Opening
from genprm.verify.stopping import DEFAULT_RISK, Stop
from genprm.verify.votes import Judge, Terms, check_concurrency

Result = TypeVar("Result")
DEFAULT_MODEL = "genprm-tiny"


class Verifier:
    """Judges every step of solutions with ``votes`` independent rationales each.

    ``engine`` is a kind (``auto``, ``transformers``, ...), an ``Engine``, or a function that opens one; ``sandbox`` a
    kind (``auto``, ``local``, ``docker``) or a ``Sandbox``. What you give open stays yours to close. ``settings`` says
    how a step is judged and carries the budgets; ``mode`` and ``execute`` are the two of them that are asked for most.
    ``seed`` is the run's. ``ray`` spreads the votes over replicas, each with an engine and a sandbox of its own.
    ``settle`` ends the voting on a solution early, once ``votes`` votes could not change its ``labels`` (the verdict of
    every step) or its ``first-error`` any more, or would change the latter with a chance of at most ``risk``.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        votes: int = 8,
        engine: str | Engine | Callable[[], Engine] = "auto",
        mode: Mode | None = None,
        execute: bool | None = None,
        sandbox: str | Sandbox = "auto",
        seed: int = 0,
        sampling: Sampling | None = None,
        settings: Settings | None = None,
        vote_rule: VoteRule = "mean",
        settle: Settled = "all",
        risk: float = DEFAULT_RISK,
        concurrency: int | None = None,
        ray: RayCluster | None = None,
        engine_options: Mapping[str, Any] | None = None,
        sandbox_options: Mapping[str, Any] | None = None,
    ) -> None:
        check_votes(votes)
        if vote_rule not in VOTE_RULES:
            raise InputError(f"vote_rule is '{vote_rule}'; it must be one of {', '.join(VOTE_RULES)}")
        if mode is not None and mode not in get_args(Mode):
            raise InputError(f"mode is '{mode}'; it must be one of {', '.join(get_args(Mode))}")
        check_concurrency(concurrency)
        if isinstance(engine, str):
            require_generative(model)
        self.model = model
        self.votes = votes
        self.seed = seed
        self.sampling = sampling or Sampling()
        self.settings = _settings(settings, mode, execute)
        self.vote_rule: VoteRule = vote_rule
        self.stop = Stop(settle, risk)
        self.concurrency = concurrency
        self.ray = ray
        self._plan = Opening(
            model, engine, sandbox, self.settings, self.sampling, seed, concurrency,
            replica_options(engine, engine_options or {}, None if ray is None else ray.gpus_per_replica),
            dict(sandbox_options or {}),
        )  # fmt: skip
        if ray is not None:
            self._plan.require_sendable()
        self._worker: Voter | None = None
        self._opening = threading.Lock()

    # Opening and closing

    def open(self) -> Verifier:
        """Load the model and start the sandbox, if that is still to do. Every use does it by itself."""
        self._ready()
        return self

    def close(self) -> None:
        """Free model and sandbox. Idempotent; a later use opens them again."""
        worker, self._worker = self._worker, None
        if worker is not None:
            background.shared().run(self._plan.close(worker) if isinstance(worker, Judge) else worker.aclose())

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
        worker = await asyncio.to_thread(self._ready)
        return await asyncio.wrap_future(background.shared().submit(self._first(solution, worker)))

    def verify_many(self, solutions: Iterable[Solution], *, on_vote: OnVote | None = None) -> Iterator[Verification]:
        """The verifications in input order, each as soon as it and those before it are there.

        All solutions are worked on together. ``on_vote`` is called, on another thread, as each vote finishes.
        """
        named = with_ids(solutions)
        worker, loop = self._ready(), background.shared()
        stream = verify_many(named, worker, **self._voting(), on_vote=on_vote)
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
        self.prepare(out)
        worker = self._ready()
        stated = {**self._stated(), "concurrency": worker.capacity, **(extent or {})}
        configuration = Configuration("verify", self.identity, stated, loaded.source)
        return background.shared().run(
            verify_to_dir(loaded, out, worker, configuration, **self._voting(), on_progress=on_progress)
        )

    # Looking

    @property
    def terms(self) -> Terms:
        """What votes depend on, resolved. Opens what is to be opened."""
        return self._ready().facts

    @property
    def voter(self) -> Voter:
        """What runs its votes, on the loop of the process. Opens what is to be opened."""
        return self._ready()

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what a vote says, resolved; plain values."""
        terms = self.terms
        engine = dict(terms.engine)
        if isinstance(self._plan.engine, str):
            # The name that was asked for: the revision tells models apart, and a moved folder is the same model.
            engine["model"] = self.model
        # Where no code is run, no sandbox and none of its limits can change a vote.
        sandbox = {"kind": "none"} if terms.sandbox is None else {**terms.sandbox, **self._plan.sandbox_options}
        return {
            "engine": engine,
            "context_length": terms.context_length,
            "template": template_digest(terms),
            **asdict(terms.settings),
            "sampling": asdict(terms.sampling),
            "sandbox": sandbox,
            "seed": terms.run_seed,
        }

    def first_prompt(self, solution: Solution) -> str:
        """The text of the first prompt for a solution, special tokens included."""
        return "".join(segment.text for segment in _first_segments(solution, self.terms))

    def prepare(self, out: Path | str) -> None:
        """Look at a folder before anything is opened.

        Raises ``InputError`` for a folder of other things. Where engine or sandbox is ``auto`` and the folder holds a
        run, the kind that the run began with is taken, for it is part of the run's identity.
        """
        stored = begun(Path(out))
        if stored is not None and self._worker is None:
            self._plan = self._plan.following(stored.identity)

    def check(self, loaded: Loaded, out: Path | str | None = None) -> None:
        """Raises what ``verify_to_dir`` would raise for these records and this folder. Nothing is run or written.

        ``RecordError`` for a step that does not fit the model's context, ``InputError`` for a folder of other things.
        """
        check_fits(loaded.solutions, self.terms, source=loaded.source, lines=loaded.lines)
        if out is not None:
            check_folder(Path(out), Configuration("verify", self.identity), loaded.solutions)

    # Inside

    def _ready(self) -> Voter:
        with self._opening:  # two threads may come here at once; the model is loaded once
            if self._worker is None:
                self._worker = background.shared().run(self._open())
                atexit.register(_close_at_exit, weakref.ref(self))
            return self._worker

    async def _open(self) -> Voter:
        return await (self._plan() if self.ray is None else open_ray(self._plan, self.ray))

    async def _first(self, solution: Solution, worker: Voter) -> Verification:
        stream = verify_many(with_ids([solution]), worker, **self._voting())
        async with aclosing(stream):
            return (await anext(stream))[1]

    def _voting(self) -> dict[str, Any]:
        return {"votes": self.votes, "vote_rule": self.vote_rule, "stop": self.stop}

    def _stated(self) -> dict[str, Any]:
        """How much is done and how, as config.yaml has it."""
        ray = {} if self.ray is None else {"ray": asdict(self.ray)}
        return {"votes": self.votes, "vote_rule": self.vote_rule, **asdict(self.stop), **ray}


def with_ids(solutions: Iterable[Solution]) -> tuple[Solution, ...]:
    """The solutions, those without id with the id of their content. Raises ``InputError`` for empty ones."""
    return tuple(_with_id(solution) for solution in solutions)


def template_digest(terms: Terms) -> str:
    """Changes when the chat template, the prompts or their style change."""
    text = "".join(segment.text for segment in _first_segments(Solution("problem", ("step",)), terms))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _first_segments(solution: Solution, terms: Terms) -> tuple[Segment, ...]:
    settings = terms.settings
    return prompts.render(
        solution.problem, solution.steps, (), terms.tokenizer, mode=settings.mode, style=settings.prompt_style
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
