"""The Python surface of search: ``Searcher``.

    searcher = Searcher("policy-tiny", scorer="genprm-tiny", plan=Plan("beam", n=8, branch=4))
    summary = searcher.run(read_problems("problems.jsonl"), "runs/beam")
    summary.found[0].taken.answer, summary.metrics["accuracy"]

A run loads policy and scorer and frees them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genprm import background
from genprm.engines import Sampling, replica_options
from genprm.errors import InputError
from genprm.rollout.completer import SAMPLING, Settings, Terms
from genprm.rollout.job import check_fits
from genprm.rollout.problems import Given
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.runs.directory import PROBLEMS, begun, check_folder
from genprm.runs.held import OneOpen
from genprm.runs.ray import RayCluster
from genprm.scorers.opening import require_fitting
from genprm.search.job import SEARCHES, OnProgress, SearchJob, Summary, records_of
from genprm.search.plan import Plan
from genprm.search.worker import EngineChoice, Facts, Opening, ScorerChoice
from genprm.types import Problem

OnPrompt = Callable[[str, str], None]
"""Told the first prompt and what it is of, before anything is generated."""
VERB = "search"


class Searcher:
    """Solves problems with a policy that writes and a scorer that guides.

    ``scorer`` is a model (read as ``kind`` says, see ``scorers.open_scorer``, which gets ``scorer_options``), a
    ``StepScorer``, or a function that opens one; ``engine``, the policy's, is a kind, an ``Engine``, or a function that
    opens one. What you give open stays yours to close. ``concurrency``: problems at once. ``ray`` spreads the problems
    over replicas, each with a policy and a scorer of its own.
    """

    def __init__(
        self,
        model: str,
        *,
        scorer: ScorerChoice = "genprm-tiny",
        plan: Plan | None = None,
        engine: EngineChoice = "auto",
        kind: str = "auto",
        settings: Settings | None = None,
        sampling: Sampling = SAMPLING,
        seed: int = 0,
        concurrency: int | None = None,
        ray: RayCluster | None = None,
        engine_options: Mapping[str, Any] | None = None,
        scorer_options: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise InputError(f"concurrency (--max-in-flight) is {concurrency}; it must be at least 1")
        self.plan = plan or Plan()
        if isinstance(scorer, str):
            require_fitting(scorer, kind, self.plan.score)
        self.ray = ray
        options = replica_options(engine, engine_options or {}, None if ray is None else ray.gpus_per_replica)
        self._opening = Opening(
            model, scorer, self.plan, engine, kind, settings or Settings(), sampling, seed, concurrency, options,
            dict(scorer_options or {}),
        )  # fmt: skip
        if ray is not None:
            self._opening.require_sendable()

    def run(
        self,
        given: Given,
        out: Path | str,
        *,
        on_prompt: OnPrompt | None = None,
        on_progress: OnProgress | None = None,
        extent: Mapping[str, Any] | None = None,
    ) -> Summary:
        """Search into a run directory; the same call again continues it.

        ``on_prompt`` and ``on_progress`` are called on another thread. ``extent`` adds to the part of config.yaml that
        may change between runs. Raises ``InputError`` before anything is written; ``EngineUnavailable``,
        ``SandboxUnavailable`` or ``GraderUnavailable`` at the end, with all that is finished kept, when infrastructure
        lost some.
        """
        if (stored := begun(Path(out))) is not None:
            self._opening = self._opening.following(stored.identity)
        return background.shared().run(self._run(given, Path(out), on_prompt, on_progress, extent or {}))

    async def _run(
        self, given: Given, out: Path, on_prompt: OnPrompt | None, on_progress: OnProgress | None,
        extent: Mapping[str, Any],
    ) -> Summary:  # fmt: skip
        workers = OneOpen(self.ray)
        try:
            worker = await workers.get(self._opening)
            identity, records = self._identity(worker.facts), records_of(given)
            check_folder(out, Configuration(VERB, identity), records, PROBLEMS)
            check_fits(given, worker.facts.policy)
            if on_prompt is not None:
                first = given.problems[0]
                on_prompt("".join(segment.text for segment in worker.facts.policy.segments(first)), first.id)
            ray = {} if self.ray is None else {"ray": asdict(self.ray)}
            configuration = Configuration(
                VERB, identity, {"concurrency": worker.capacity, **ray, **extent}, given.source
            )
            with RunDirectory.open(out, configuration, records, records_name=PROBLEMS, units=SEARCHES) as run:
                run.write_environment(environment(**identity))
                return await SearchJob(run, given, identity, self._opening.model, on_progress).work(worker)
        finally:
            await workers.aclose()

    def _identity(self, facts: Facts) -> dict[str, Any]:
        """Everything that decides a result, resolved; plain values."""
        return {
            "policy": _policy(facts.policy, self._opening),
            "scorer": dict(facts.scorer),
            **asdict(self._opening.settings),
            "sampling": asdict(self._opening.sampling),
            **self.plan.identity(),
            "seed": self._opening.run_seed,
        }


def _policy(terms: Terms, opening: Opening) -> dict[str, Any]:
    """What decides the policy's tokens."""
    engine = dict(terms.engine)
    if isinstance(opening.engine, str):
        # The name that was asked for: the revision tells models apart, and a moved folder is the same model.
        engine["model"] = opening.model
    text = "".join(segment.text for segment in terms.segments(Problem("id", "problem", "answer")))
    template = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return {"engine": engine, "context_length": terms.context_length, "template": template}
