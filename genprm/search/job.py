"""A search run: its directory is continued, not repeated.

problems.jsonl    the problems taken
searches.jsonl    finished problems, appended: every solution that a search came to the end of, with its rewards
items.jsonl       derived: one line a problem, what was taken, whether it is right, and what was spent
candidates/       derived: the same solutions as records and items, for genprm evaluate best-of-n
metrics.json      derived: accuracy with its interval, tokens
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprm.errors import EngineUnavailable, SandboxUnavailable
from genprm.records import write_lines
from genprm.rollout.problems import Given, problem_to_dict
from genprm.runs import RunDirectory
from genprm.runs.directory import SOLUTIONS
from genprm.runs.keys import digest
from genprm.runs.owed import Unavailable, work_off
from genprm.runs.workers import Worker
from genprm.search.results import Found, found_from_dict, found_to_dict, item_of, metrics_of, solutions_of
from genprm.search.worker import Facts, Order
from genprm.types import Problem

log = logging.getLogger(__name__)

SEARCHES, CANDIDATES = "searches.jsonl", "candidates"
Searcher = Worker[Order, Found, Facts]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    found: Found
    """What came in last."""
    done: int
    total: int
    fresh: int
    """Done in this run."""
    right: int
    """Of those of this run."""
    tokens: int
    """Of this run, policy and scorer together."""
    seconds: float


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a search left in its directory."""

    path: Path
    found: tuple[Found, ...]
    """One a problem, in input order."""
    metrics: Mapping[str, Any]
    reused: int
    """Problems that an earlier run had finished."""


class SearchJob:
    """The problems of one run: those finished, those that come in, and what is derived from them."""

    def __init__(
        self, run: RunDirectory, given: Given, identity: Mapping[str, Any], generator: str,
        on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        """``run`` was opened with ``searches.jsonl`` as its units. ``generator``: what solutions call the policy."""
        self._run = run
        self._problems = {_key(identity, problem): problem for problem in given.problems}
        self._generator = generator
        self._on_progress = on_progress
        self._reused = sum(key in run.units for key in self._problems)
        self._fresh = self._right = self._tokens = 0
        self._started = time.monotonic()

    async def work(self, worker: Searcher) -> Summary:
        """Search what is owed. Raises the first failure of infrastructure, with all that is finished kept."""
        owed = [Order(key, problem) for key, problem in self._problems.items() if key not in self._run.units]
        log.info("search %d problems, %d are there, %d at once", len(owed), self._reused, worker.capacity)
        try:
            lost = await work_off(worker, owed, self._keep, self._lose)
        finally:
            # Also on Ctrl-C: what is finished is worth reading.
            summary = self._write()
        if lost is not None:
            left = sum(key not in self._run.units for key in self._problems)
            raise type(lost)(
                f"{lost}; {left} problems are owed in {self._run.path}: run the same command again to continue"
            )
        return summary

    def _keep(self, order: Order, found: Found) -> None:
        self._run.units.append(found_to_dict(found))
        self._fresh += 1
        self._right += bool(found.correct)
        self._tokens += found.policy_tokens + found.scorer_tokens
        if self._on_progress is not None:
            done, seconds = self._reused + self._fresh, time.monotonic() - self._started
            self._on_progress(
                Progress(found, done, len(self._problems), self._fresh, self._right, self._tokens, seconds)
            )

    def _lose(self, order: Order, error: Unavailable) -> None:
        log.warning("%s was lost: %s", order.problem.id, error)
        kinds = {EngineUnavailable: "engine", SandboxUnavailable: "sandbox"}
        failure = kinds.get(type(error), "grader")
        self._run.append_error({"key": order.key, "id": order.problem.id, "failure": failure, "message": str(error)})

    def _write(self) -> Summary:
        """items.jsonl, candidates/ and metrics.json, from what is there."""
        units, source = self._run.units, str(self._run.path / SEARCHES)
        found = {key: found_from_dict(units[key], source=source) for key in self._problems if key in units}
        self._run.write_items(map(item_of, found.values()))
        made = [one for key, each in found.items() for one in solutions_of(each, self._problems[key], self._generator)]
        folder = self._run.path / CANDIDATES
        folder.mkdir(exist_ok=True)
        write_lines(folder / SOLUTIONS, (solution for solution, _ in made))
        write_lines(folder / "items.jsonl", (item for _, item in made))
        metrics = {**metrics_of(found.values()), "owed": len(self._problems) - len(found), "timing": self._timing()}
        self._run.write_metrics(metrics)
        return Summary(self._run.path, tuple(found.values()), metrics, self._reused)

    def _timing(self) -> dict[str, float | None]:
        seconds = time.monotonic() - self._started
        before = (self._run.read_metrics().get("timing") or {}).get("seconds_all_runs", 0.0)
        return {
            "seconds": seconds,
            "seconds_all_runs": before + seconds,
            "tokens_per_s": self._tokens / seconds if seconds else None,
        }


def records_of(given: Given) -> list[dict[str, Any]]:
    """What a run directory is about."""
    return [problem_to_dict(problem) for problem in given.problems]


def _key(identity: Mapping[str, Any], problem: Problem) -> str:
    """32 hex digits."""
    content = [problem.id, problem.problem, problem.answer]
    return digest("search", json.dumps(identity, sort_keys=True), content)[:32]
