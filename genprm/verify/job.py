"""A verify run: its directory is continued, not repeated.

Votes that are there are used; those that infrastructure lost go to ``errors.jsonl`` and are owed again; everything
else is derived. ``items.jsonl`` is the same, byte for byte, whatever the order in which votes finished.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from genprm.errors import EngineUnavailable, SandboxUnavailable
from genprm.records import Loaded, item_to_dict
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.runs.owed import LOST_IN_A_ROW
from genprm.types import Verification, Vote
from genprm.verdicts import VoteRule
from genprm.verify.course import Course, Feed, Unit
from genprm.verify.many import Voter, attempts, check_fits, check_votes
from genprm.verify.metrics import Progress, Tally
from genprm.verify.seeds import vote_key
from genprm.verify.stopping import Stop
from genprm.verify.store import FileVotes, line_is_cut
from genprm.verify.votes import Attempt

log = logging.getLogger(__name__)

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a verify run left in its directory."""

    path: Path
    items: tuple[Verification, ...]
    """In input order, without their votes: a run may be too large for memory, and its directory holds them."""
    metrics: Mapping[str, Any]
    reused: int
    """Votes that an earlier run had finished."""


async def verify_to_dir(
    loaded: Loaded,
    out: Path | str,
    worker: Voter,
    configuration: Configuration,
    *,
    votes: int,
    vote_rule: VoteRule = "mean",
    stop: Stop = Stop(),  # noqa: B008 (a frozen value)
    on_progress: OnProgress | None = None,
) -> Summary:
    """Verify into a run directory, continuing what is there.

    Raises ``InputError`` before anything is written; ``EngineUnavailable`` or ``SandboxUnavailable`` at the end, with
    all finished votes kept, when infrastructure lost some.
    """
    check_votes(votes)
    check_fits(loaded.solutions, worker.facts, source=loaded.source, lines=loaded.lines)
    with RunDirectory.open(out, configuration, loaded.solutions, mark=line_is_cut) as run:
        run.write_environment(environment(**configuration.identity))
        log.info("verify %d solutions with %d votes each, %d in flight", len(loaded.solutions), votes, worker.capacity)
        store = FileVotes(run.units)
        courses = [
            Course(
                solution, votes, store, stop=stop, vote_rule=vote_rule,
                key=partial(vote_key, configuration.identity),
            )
            for solution in loaded.solutions
        ]  # fmt: skip
        job = _Job(run, courses, votes * len(courses), on_progress)
        try:
            await job.work_off(worker)
        finally:
            # Also on Ctrl-C: what is finished is worth reading.
            items, metrics = job.write_results()
        log.info("%s", metrics)
        job.raise_if_lost()
        return Summary(run.path, items, metrics, job.reused)


class _Job:
    """The votes of one run: those there, those that come in, and what is derived from them."""

    def __init__(self, run: RunDirectory, courses: Sequence[Course], most: int, on_progress: OnProgress | None) -> None:
        """``most``: votes, if none of them turns out not to be needed."""
        self._run = run
        self._courses = courses
        self._most = most
        self._on_progress = on_progress
        self._feed = Feed(courses)
        self.reused = sum(course.reused for course in courses)
        self._done = self.reused
        self._complete = sum(course.finished for course in courses)
        self._tally = Tally()
        self._lost: list[EngineUnavailable | SandboxUnavailable] = []
        self._lost_in_a_row = 0
        self._started = time.monotonic()

    async def work_off(self, worker: Voter) -> None:
        """Run the votes that are owed, until done or until the infrastructure counts as down."""
        async with aclosing(attempts(self._take, worker)) as done:
            async for unit, attempt in done:
                if attempt.error is None:
                    self._keep(unit, attempt)
                else:
                    self._lose(attempt.vote, attempt.error)

    def _take(self) -> Unit | None:
        return None if self._lost_in_a_row >= LOST_IN_A_ROW else self._feed.take()

    def _keep(self, unit: Unit, attempt: Attempt) -> None:
        vote = attempt.vote
        self._feed.put(unit, vote)
        self._done += 1
        self._complete += unit.course.finished
        self._lost_in_a_row = 0
        self._tally.add(vote, attempt.cell_seconds)
        if self._on_progress is not None:
            counts = (self._done, self._most, self._complete, len(self._courses))
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
        tally, items = Tally(), []

        def records() -> Iterator[dict[str, Any]]:
            for course in self._courses:
                item = course.result()
                for vote in item.votes:
                    tally.add(vote)
                items.append(replace(item, votes=()))
                yield item_to_dict(item)

        self._run.write_items(records())
        metrics = {
            "solutions": len(self._courses),
            "votes_owed": self._owed,
            **tally.as_dict(),
            "lost": len(self._lost),
            "timing": self._timing(),
        }
        self._run.write_metrics(metrics)
        return tuple(items), metrics

    def _timing(self) -> Mapping[str, Any]:
        """Seconds and speed of this run, and the seconds of all runs of the directory."""
        seconds = self._age()
        before = (self._run.read_metrics().get("timing") or {}).get("seconds_all_runs", 0.0)
        return {
            "seconds": seconds,
            "seconds_all_runs": before + seconds,
            "votes": self._tally.votes,
            "votes_per_s": self._tally.votes / seconds if seconds else None,
            "tokens_per_s": self._tally.tokens / seconds if seconds else None,
            "cell_ms_median": self._tally.cell_ms,
        }

    @property
    def _owed(self) -> int:
        return sum(course.owed for course in self._courses)

    def _age(self) -> float:
        return time.monotonic() - self._started

    def raise_if_lost(self) -> None:
        """Raise the first infrastructure failure, with how much is owed and what to do."""
        if self._lost:
            kind = type(self._lost[0])
            raise kind(
                f"{self._lost[0]}; {self._owed} of {self._most} votes are owed in {self._run.path}: "
                "run the same command again to continue"
            )
