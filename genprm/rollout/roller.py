"""The Python surface of rollouts: ``Roller``.

    roller = Roller("Qwen/Qwen2.5-7B-Instruct", completer="Qwen/Qwen2.5-Math-7B-Instruct")
    summary = roller.run(read_given("math"), "runs/rollout")

A run loads what it needs and frees it: the policy samples solutions, then the completer continues their prefixes. Where
the two differ they are never loaded together, as they may not fit; the completer is loaded once more at the beginning,
for its revision is part of what the run is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genprm import background
from genprm.engines import Engine, Sampling, replica_options
from genprm.errors import InputError
from genprm.rollout.amounts import Amounts
from genprm.rollout.budget import Budget
from genprm.rollout.completer import SAMPLING, Settings, Terms, prefix_of
from genprm.rollout.job import OnProgress, Plan, RolloutJob, Summary, check_fits, records_of
from genprm.rollout.opening import Opening
from genprm.rollout.problems import Given
from genprm.rollout.store import ROLLOUTS
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.runs.directory import begun, check_folder
from genprm.runs.held import OneOpen
from genprm.runs.ray import RayCluster
from genprm.types import Problem

EngineChoice = str | Engine | Callable[[], Engine]
OnPrompt = Callable[[str, str], None]
"""Told the first prompt and what it is of, before anything is generated."""
VERB = "rollout"


class Roller:
    """Samples solutions of problems and completes every prefix of them.

    ``model`` is the policy, ``completer`` the model that continues (default: the policy). ``engine`` is a kind, an
    ``Engine``, or a function that opens one; ``completer_engine`` the same for the completer (default: ``engine``).
    What you give open stays yours to close. ``ray`` spreads the work over replicas, each with an engine and a grader.
    """

    def __init__(
        self,
        model: str,
        *,
        completer: str | None = None,
        engine: EngineChoice = "auto",
        completer_engine: EngineChoice | None = None,
        plan: Plan | None = None,
        settings: Settings | None = None,
        sampling: Sampling = SAMPLING,
        seed: int = 0,
        concurrency: int | None = None,
        ray: RayCluster | None = None,
        engine_options: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise InputError(f"concurrency (--max-in-flight) is {concurrency}; it must be at least 1")
        self.plan = plan or Plan(Budget(), Amounts.fixed(16))
        self.seed = seed
        self.ray = ray
        options = replica_options(engine, engine_options or {}, None if ray is None else ray.gpus_per_replica)
        self._policy = Opening(model, engine, settings or Settings(), sampling, seed, concurrency, options)
        self._completer = self._policy
        if (completer or model) != model or completer_engine is not None:
            self._completer = replace(
                self._policy, model=completer or model,
                engine=engine if completer_engine is None else completer_engine,
            )  # fmt: skip
        if ray is not None:
            self._policy.require_sendable()
            self._completer.require_sendable()

    @property
    def model(self) -> str:
        """The policy."""
        return self._policy.model

    @property
    def completer(self) -> str:
        """The model that continues."""
        return self._completer.model

    @property
    def settings(self) -> Settings:
        return self._policy.settings

    @property
    def sampling(self) -> Sampling:
        return self._policy.sampling

    def run(
        self,
        given: Given,
        out: Path | str,
        *,
        on_prompt: OnPrompt | None = None,
        on_progress: OnProgress | None = None,
        extent: Mapping[str, Any] | None = None,
    ) -> Summary:
        """Roll out into a run directory; the same call again continues it.

        ``on_prompt`` and ``on_progress`` are called on another thread. ``extent`` adds to the part of config.yaml that
        may change between runs. Raises ``InputError`` before anything is written, ``EngineUnavailable`` or
        ``GraderUnavailable`` at the end, with all that is finished kept, when infrastructure lost some.
        """
        self._prepare(Path(out))
        return background.shared().run(self._run(given, Path(out), on_prompt, on_progress, extent or {}))

    def _prepare(self, out: Path) -> None:
        """Look at the folder before anything is opened. For an engine ``auto`` take the kind of the run there."""
        stored = begun(out)
        if stored is None:
            return
        same = self._completer is self._policy
        self._policy = self._policy.following(_stored_engine(stored, "policy") or _stored_engine(stored, "completer"))
        self._completer = self._policy if same else self._completer.following(_stored_engine(stored, "completer"))

    async def _run(
        self, given: Given, out: Path, on_prompt: OnPrompt | None, on_progress: OnProgress | None,
        extent: Mapping[str, Any],
    ) -> Summary:  # fmt: skip
        workers = OneOpen(self.ray)
        try:
            completing = (await workers.get(self._completer)).facts
            # Where solutions were given, no policy is needed.
            sampling = (await workers.get(self._policy)).facts if given.solutions is None else None
            identity = self._identity(sampling, completing)
            records, name = records_of(given)
            check_folder(out, Configuration(VERB, identity), records, name)
            for terms in filter(None, (sampling, completing)):
                check_fits(given, terms)
            if on_prompt is not None:
                on_prompt(*_first_prompt(given, sampling or completing))
            concurrency = (await workers.get(self._policy if sampling else self._completer)).capacity
            configuration = Configuration(
                VERB, identity, {**self._stated(), "concurrency": concurrency, **extent}, given.source
            )
            with RunDirectory.open(out, configuration, records, records_name=name, units=ROLLOUTS) as run:
                run.write_environment(environment(**identity))
                return await self._work(
                    RolloutJob(
                        run, given, self.plan, identity, run_seed=self.seed, generator=self.model,
                        on_progress=on_progress,
                    ),
                    workers,
                    sampled=sampling is not None,
                )  # fmt: skip
        finally:
            await workers.aclose()

    async def _work(self, job: RolloutJob, workers: OneOpen, *, sampled: bool) -> Summary:
        try:
            if sampled:
                await job.generate(await workers.get(self._policy))
            if not job.lost:
                await job.complete(await workers.get(self._completer))
        finally:
            # Also on Ctrl-C: what is finished is worth reading.
            summary = job.write_results()
        job.raise_if_lost()
        return summary

    def _identity(self, sampling: Terms | None, completing: Terms) -> dict[str, Any]:
        """Everything that decides a result, resolved; plain values."""
        plan = self.plan
        return {
            "policy": None if sampling is None else _model(sampling, self._policy),
            "completer": _model(completing, self._completer),
            **asdict(self.settings),
            "sampling": asdict(self.sampling),
            "k": asdict(plan.amounts),
            "rule": None if plan.rule is None else plan.rule.name,
            "seed": self.seed,
        }

    def _stated(self) -> dict[str, Any]:
        """How much is done and how, as config.yaml has it."""
        budget = asdict(self.plan.budget)
        ray = {} if self.ray is None else {"ray": asdict(self.ray)}
        return {**budget, "difficulties": list(budget["difficulties"]), **ray}


def _model(terms: Terms, opening: Opening) -> dict[str, Any]:
    """What decides the tokens of one model."""
    engine = dict(terms.engine)
    if isinstance(opening.engine, str):
        # The name that was asked for: the revision tells models apart, and a moved folder is the same model.
        engine["model"] = opening.model
    text = "".join(segment.text for segment in terms.segments(Problem("id", "problem", "answer")))
    template = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return {"engine": engine, "context_length": terms.context_length, "template": template}


def _first_prompt(given: Given, terms: Terms) -> tuple[str, str]:
    """The text of the first prompt, special tokens included, and what it is of."""
    problem, written, place = given.problems[0], None, "a solution"
    if given.solutions:
        solution = given.solutions[0]
        written, place = prefix_of(solution, 0, terms.settings.style), f"{solution.id} after step 0"
    return "".join(segment.text for segment in terms.segments(problem, written)), f"{problem.id}, {place}"


def _stored_engine(stored: Configuration, part: str) -> object:
    """The kind of engine that a run began with."""
    model = stored.identity.get(part)
    engine = model.get("engine") if isinstance(model, Mapping) else None
    return engine.get("engine") if isinstance(engine, Mapping) else None
