"""What does the work of a search: a policy that writes, a scorer that judges, a grader that reads answers.

A ``Worker`` whose orders are problems. Every problem is a coroutine with its own trees; all of them share the engine
and the scorer, which batch across problems. Policy and scorer are open together: a search goes back and forth between
them, so both must fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genprm import background, engines
from genprm.engines import Engine, Sampling
from genprm.errors import InputError
from genprm.records.grading import Grader
from genprm.rollout.completer import DEFAULT_CAPACITY, SAMPLING, Settings, Terms
from genprm.runs.pool import together
from genprm.scorers import StepScorer, open_scorer
from genprm.search.choosing import choose, conclude
from genprm.search.plan import Plan
from genprm.search.results import Found
from genprm.search.strategies import Search
from genprm.search.verified import Verified
from genprm.search.writing import Pen, Writer
from genprm.types import Problem

EngineChoice = str | Engine | Callable[[], Engine]
SANDBOXES = ("docker", "local")
ScorerChoice = str | StepScorer[Any] | Callable[[], StepScorer[Any]]


@dataclass(frozen=True, slots=True)
class Order:
    """A problem to be searched."""

    key: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Facts:
    """All that results depend on besides plan and problem: the same for every worker of a run."""

    policy: Terms
    scorer: Mapping[str, Any]
    """The scorer's identity."""


class Searching:
    """Searches problems, many at once."""

    def __init__(self, pen: Pen, scorer: StepScorer[Any], facts: Facts, plan: Plan, concurrency: int) -> None:
        self.pen = pen
        self.scorer = scorer
        self._grader = Grader()
        self._facts = facts
        self._plan = plan
        self._concurrency = concurrency

    @property
    def facts(self) -> Facts:
        return self._facts

    @property
    def capacity(self) -> int:
        """Problems at once."""
        return self._concurrency

    async def run(self, order: Order) -> Found:
        """Search one problem. Raises ``EngineUnavailable``, ``SandboxUnavailable`` or ``GraderUnavailable``."""
        problem = order.problem
        writer, verified = Writer(self.pen, problem), Verified(self.scorer, problem.problem)
        search = Search(self._plan, writer, verified)
        await search.run()
        candidates = await together(
            conclude(path, verified.rewards(path.steps), search.score(path), problem.answer, self._grader)
            for path in search.ended
        )
        chosen = await choose(self._plan.strategy, candidates, self._grader)
        solved = (False if problem.answer else None) if chosen is None else candidates[chosen].correct
        return Found(
            order.key, problem.id, tuple(candidates), chosen, solved, "budget" if search.stopped else "done",
            writer.tokens, verified.tokens, writer.draws, verified.judged,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Close grader, scorer and engine."""
        await self.close_grader()
        await self.scorer.aclose()
        await self.pen.engine.aclose()

    async def close_grader(self) -> None:
        """Close the grader alone, where the rest is someone else's."""
        await self._grader.aclose()


@dataclass(frozen=True, slots=True)
class Opening:
    """What to open. Policy and scorer are each a name, a function that opens one, or an open one."""

    model: str
    scorer: ScorerChoice
    plan: Plan
    engine: EngineChoice = "auto"
    kind: str = "auto"
    """How the scorer's model is read, where it is a name."""
    settings: Settings = field(default_factory=Settings)
    sampling: Sampling = SAMPLING
    run_seed: int = 0
    concurrency: int | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    scorer_options: Mapping[str, Any] = field(default_factory=dict)

    def require_sendable(self) -> None:
        """Raises ``InputError`` for something open, which belongs to this process."""
        for what, given in (("engine", self.engine), ("scorer", self.scorer)):
            if not isinstance(given, str) and not callable(given):
                raise InputError(
                    f"an open {what} cannot be sent to replicas; give its name or a function that opens it"
                )

    def following(self, identity: Mapping[str, Any]) -> Opening:
        """The same, with the kinds of a run that has this identity where ``auto`` leaves the choice."""
        policy, scorer = (dict(identity.get(part) or {}) for part in ("policy", "scorer"))
        stored = {"engine": _kind(scorer, "engine", "engine"), "sandbox": _kind(scorer, "sandbox", "kind")}
        options = dict(self.scorer_options)
        for name, known in (("engine", engines.KINDS), ("sandbox", SANDBOXES)):
            if options.get(name) == "auto" and stored[name] in known:
                options[name] = stored[name]
        engine = _kind(policy, "engine", "engine")
        chosen = str(engine) if self.engine == "auto" and engine in engines.KINDS else self.engine
        return replace(self, engine=chosen, scorer_options=options)

    async def __call__(self) -> Searching:
        """An open worker. What was open already is used and stays its owner's."""
        # Loading blocks: on a thread of its own Ctrl-C need not wait for it. Asking for the identity loads.
        scorer = await background.on_thread(self._scorer)
        try:
            stated = await background.on_thread(lambda: dict(scorer.identity))
            engine = await background.on_thread(
                lambda: engines.engine_of(self.engine, self.model, **self.engine_options)
            )
        except BaseException:
            if scorer is not self.scorer:
                await scorer.aclose()
            raise
        limit = int(getattr(engine, "max_batch", DEFAULT_CAPACITY))
        terms = Terms(
            dict(engine.identity), engine.context_length, self.settings, self.sampling, self.run_seed, engine.tokenizer
        )
        # While one problem is scored another is written: twice the draws that the engine takes at once.
        concurrency = self.concurrency or max(2, 2 * limit // self.plan.n)
        pen = Pen(engine, terms, asyncio.Semaphore(limit))
        return Searching(pen, scorer, Facts(terms, stated), self.plan, concurrency)

    async def close(self, worker: Searching) -> None:
        """Close what was opened here."""
        await worker.close_grader()
        if worker.scorer is not self.scorer:
            await worker.scorer.aclose()
        if worker.pen.engine is not self.engine:
            await worker.pen.engine.aclose()

    def _scorer(self) -> StepScorer[Any]:
        if isinstance(self.scorer, str):
            return open_scorer(self.scorer, self.kind, **self.scorer_options)
        return self.scorer() if callable(self.scorer) else self.scorer


def _kind(identity: Mapping[str, Any], part: str, name: str) -> object:
    found = identity.get(part)
    return found.get(name) if isinstance(found, Mapping) else None
