"""A verify run: its directory is continued, not repeated.

Votes that are there are used; those that infrastructure lost go to ``errors.jsonl`` and are owed again; everything
else is derived. ``items.jsonl`` is the same, byte for byte, whatever the order in which votes finished.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprm.errors import EngineUnavailable, SandboxUnavailable
from genprm.records import Loaded, item_to_dict
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.types import Solution, Verification, Vote
from genprm.verify.aggregate import VoteRule, aggregate
from genprm.verify.many import check_fits, check_votes, in_flight
from genprm.verify.metrics import Progress, Tally
from genprm.verify.pool import as_finished
from genprm.verify.seeds import vote_key
from genprm.verify.votes import Attempt, Judge, attempt_vote

log = logging.getLogger(__name__)

LOST_IN_A_ROW = 3
"""After so many lost votes without a finished one between them, the engine or sandbox counts as down."""

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a verify run left in its directory."""

    path: Path
    items: tuple[Verification, ...]
    """In input order."""
    metrics: Mapping[str, Any]
    reused: int
    """Votes that an earlier run had finished."""


@dataclass(frozen=True, slots=True)
class _Unit:
    solution: Solution
    vote: int
    key: str


async def verify_to_dir(
    loaded: Loaded,
    out: Path | str,
    judge: Judge,
    configuration: Configuration,
    *,
    votes: int,
    vote_rule: VoteRule = "mean",
    concurrency: int | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Verify into a run directory, continuing what is there.

    Raises ``InputError`` before anything is written; ``EngineUnavailable`` or ``SandboxUnavailable`` at the end, with
    all finished votes kept, when infrastructure lost some.
    """
    check_votes(votes)
    limit = in_flight(judge, concurrency)
    check_fits(loaded.solutions, judge, source=loaded.source, lines=loaded.lines)
    with RunDirectory.open(out, configuration, loaded.solutions) as run:
        run.write_environment(environment(**configuration.identity))
        log.info("verify %d solutions with %d votes each, %d in flight", len(loaded.solutions), votes, limit)
        job = _Job(run, loaded.solutions, configuration.identity, votes, vote_rule, on_progress)
        try:
            await job.work_off(judge, limit)
        finally:
            # Also on Ctrl-C: what is finished is worth reading.
            items, metrics = job.write_results()
        log.info("%s", metrics)
        job.raise_if_lost()
        return Summary(run.path, items, metrics, job.reused)


class _Job:
    """The votes of one run: those there, those that come in, and what is derived from them."""

    def __init__(
        self,
        run: RunDirectory,
        solutions: Sequence[Solution],
        identity: Mapping[str, Any],
        votes: int,
        vote_rule: VoteRule,
        on_progress: OnProgress | None,
    ) -> None:
        self._run = run
        self._solutions = solutions
        self._vote_rule = vote_rule
        self._on_progress = on_progress
        self._units = [_Unit(s, vote, vote_key(identity, s, vote)) for s in solutions for vote in range(votes)]
        stored = run.finished()
        self._votes = {unit.key: stored[unit.key] for unit in self._units if unit.key in stored}
        self._missing = {s.id: votes for s in solutions}
        for vote in self._votes.values():
            self._missing[vote.id] -= 1
        self._complete = sum(missing == 0 for missing in self._missing.values())
        self.reused = len(self._votes)
        self._tally = Tally()
        self._lost: list[EngineUnavailable | SandboxUnavailable] = []
        self._lost_in_a_row = 0
        self._started = time.monotonic()

    async def work_off(self, judge: Judge, limit: int) -> None:
        """Run the votes that are owed, until done or until the infrastructure counts as down."""

        async def work(unit: _Unit) -> Attempt:
            return await attempt_vote(unit.solution, unit.vote, judge, key=unit.key)

        async with aclosing(as_finished(self._owed(), work, limit)) as attempts:
            async for attempt in attempts:
                if attempt.error is None:
                    self._keep(attempt.vote)
                else:
                    self._lose(attempt.vote, attempt.error)

    def _owed(self) -> Iterator[_Unit]:
        for unit in self._units:
            if self._lost_in_a_row >= LOST_IN_A_ROW:
                return
            if unit.key not in self._votes:
                yield unit

    def _keep(self, vote: Vote) -> None:
        self._run.append_vote(vote)
        self._votes[vote.key] = vote
        self._missing[vote.id] -= 1
        self._complete += self._missing[vote.id] == 0
        self._lost_in_a_row = 0
        self._tally.add(vote)
        if self._on_progress is not None:
            counts = (len(self._votes), len(self._units), self._complete, len(self._solutions))
            self._on_progress(Progress(vote, *counts, self._tally, self._age()))

    def _lose(self, vote: Vote, error: EngineUnavailable | SandboxUnavailable) -> None:
        log.warning("vote %d on %s was lost: %s", vote.vote, vote.id, error)
        failure = "engine" if isinstance(error, EngineUnavailable) else "sandbox"
        self._run.append_error(
            {"key": vote.key, "id": vote.id, "vote": vote.vote, "failure": failure, "message": str(error)}
        )
        self._lost.append(error)
        self._lost_in_a_row += 1

    def write_results(self) -> tuple[tuple[Verification, ...], Mapping[str, Any]]:
        """items.jsonl and metrics.json, from the votes that are there."""
        votes: dict[str, list[Vote]] = {solution.id: [] for solution in self._solutions}
        tally = Tally()
        for unit in self._units:
            if unit.key in self._votes:
                votes[unit.solution.id].append(self._votes[unit.key])
                tally.add(self._votes[unit.key])
        items = tuple(aggregate(s, votes[s.id], self._vote_rule) for s in self._solutions)
        self._run.write_items(item_to_dict(item) for item in items)
        metrics = {
            "solutions": len(self._solutions),
            "votes_owed": len(self._units) - len(self._votes),
            **tally.as_dict(),
            "lost": len(self._lost),
            "timing": self._timing(),
        }
        self._run.write_metrics(metrics)
        return items, metrics

    def _timing(self) -> Mapping[str, Any]:
        """Seconds and speed of this run, and the seconds of all runs of the directory."""
        seconds = self._age()
        before = self._run.read_metrics().get("timing", {}).get("seconds_all_runs", 0.0)
        return {
            "seconds": seconds,
            "seconds_all_runs": before + seconds,
            "votes": self._tally.votes,
            "votes_per_s": self._tally.votes / seconds if seconds else None,
            "tokens_per_s": self._tally.tokens / seconds if seconds else None,
        }

    def _age(self) -> float:
        return time.monotonic() - self._started

    def raise_if_lost(self) -> None:
        """Raise the first infrastructure failure, with how much is owed and what to do."""
        if self._lost:
            owed = len(self._units) - len(self._votes)
            kind = type(self._lost[0])
            raise kind(
                f"{self._lost[0]}; {owed} of {len(self._units)} votes are owed in {self._run.path}: "
                "run the same command again to continue"
            )
