"""A rollout run: its directory is continued, not repeated.

    problems.jsonl    the problems taken; solutions.jsonl instead where solutions were given
    samples.jsonl     every solution sampled, appended
    selected.jsonl    derived: the solutions kept or given, as solution records
    sampled.jsonl     derived: every sample as such a record, for best-of-N; absent where solutions were given
    rollouts.jsonl    every prefix completed, appended
    items.jsonl       derived: one line a problem, in input order

What is there is used; what infrastructure lost goes to ``errors.jsonl`` and is owed again. Derived files are the same,
byte for byte, whatever the order in which results came in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from genprm.errors import EngineUnavailable, GraderUnavailable, RecordError
from genprm.records import solution_to_dict, write_lines
from genprm.rollout.amounts import Amounts, Rule
from genprm.rollout.budget import Budget
from genprm.rollout.completer import Done, Terms
from genprm.rollout.courses import PROBLEM_ALONE, Feed, PrefixCourse, SampleCourse
from genprm.rollout.metrics import Phase, Progress, Tally
from genprm.rollout.problems import Given, problem_to_dict
from genprm.rollout.results import Derived, derive, kept, sampled
from genprm.rollout.samples import Order, PrefixOrder, Sample, SampleOrder
from genprm.rollout.seeds import rollout_key, sample_key
from genprm.rollout.store import Store
from genprm.runs import RunDirectory
from genprm.runs.directory import PROBLEMS, SOLUTIONS
from genprm.runs.owed import LOST_IN_A_ROW
from genprm.runs.pool import as_finished
from genprm.runs.workers import Worker
from genprm.types import Rollout, Solution

log = logging.getLogger(__name__)

SELECTED = "selected.jsonl"
SAMPLED = "sampled.jsonl"
Unavailable = EngineUnavailable | GraderUnavailable
OnProgress = Callable[[Progress], None]
RolloutWorker = Worker[Order, Done, Terms]
"""Does samples and prefixes: a ``Completer``, or many of them on a Ray cluster."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done. The budget may change between runs of a directory, the rest may not."""

    budget: Budget
    amounts: Amounts
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a rollout left in its directory."""

    path: Path
    solutions: tuple[Solution, ...]
    """Those kept, or given, with their final answers judged."""
    items: tuple[Mapping[str, Any], ...]
    """One a problem, as in items.jsonl."""
    metrics: Mapping[str, Any]
    reused: int
    """Samples and prefixes that an earlier run had finished."""


def records_of(given: Given) -> tuple[Sequence[Solution | Mapping[str, Any]], str]:
    """What a run directory is about, and the name of the file that holds it."""
    if given.solutions is not None:
        return given.solutions, SOLUTIONS
    return [problem_to_dict(problem) for problem in given.problems], PROBLEMS


def check_fits(given: Given, terms: Terms) -> None:
    """Raises ``RecordError`` for the first problem that alone leaves no room in the model's context."""
    for problem in given.problems:
        # A token is hardly ever less than a byte: only long problems need to be tokenised.
        if len(problem.problem.encode()) < terms.context_length // 2:
            continue
        size = len(terms.ids(problem))
        if size >= terms.context_length:
            raise RecordError(
                f"of '{problem.id}' makes a prompt of {size} tokens, the model's context is {terms.context_length}; "
                "drop the record, or use a model with a longer context",
                source=given.source,
                line=given.lines.get(problem.id),
                field="problem",
            )


class RolloutJob:
    """The samples and rollouts of one run: those there, those that come in, and what is derived from them."""

    def __init__(
        self,
        run: RunDirectory,
        given: Given,
        plan: Plan,
        identity: Mapping[str, Any],
        *,
        run_seed: int,
        generator: str,
        on_progress: OnProgress | None = None,
    ) -> None:
        """``run`` was opened with ``rollouts.jsonl`` as its units. ``generator``: what solutions call the policy."""
        self._run = run
        self._given = given
        self._plan = plan
        self._identity = identity
        self._seed = run_seed
        self._generator = generator
        self._on_progress = on_progress
        self._store = Store(run)
        self._sampling: dict[str, SampleCourse] = {}
        self._completing: dict[str, PrefixCourse] = {}
        self._lost: list[Unavailable] = []
        self._lost_in_a_row = 0
        self._tally = Tally()
        self._started = time.monotonic()

    async def generate(self, worker: RolloutWorker) -> None:
        """Sample solutions until every problem has what it needs; nothing to do where they were given."""
        if self._given.solutions is not None:
            return
        known, budget = self._store.outcomes(), self._plan.budget
        self._sampling = {
            problem.id: SampleCourse(problem, budget, partial(sample_key, self._identity, problem), known)
            for problem in self._given.problems
        }
        courses = self._sampling.values()
        first = [order for course in courses for order in course.start()]
        log.info("sample %d problems, %d in flight", len(courses), worker.capacity)
        counter = _Counter("solutions", sum(c.size for c in courses), sum(c.owed for c in courses))
        feed = Feed(first)
        async with aclosing(self._work_off(feed, worker)) as done:
            async for sample in done:
                assert isinstance(sample, Sample)
                self._store.add(sample)
                self._tally.add_sample(sample)
                course = self._sampling[sample.problem_id]
                before = course.size
                feed.put(course.add(sample.index, sample.outcome))
                counter.add(course.size - before)
                self._tell(counter, sample)

    async def complete(self, worker: RolloutWorker) -> None:
        """Complete every prefix of the solutions kept or given. Nothing is done if infrastructure lost samples."""
        if self.lost:
            return
        self._completing = self._prefix_courses()
        courses = self._completing.values()
        for course in courses:
            if course.owed:  # a run may have ended between a rollout and what others take from it
                for key in course.finished():
                    self._share(course, self._store.rollout(key))
        first = [order for course in courses for order in course.start(self._alone(course))]
        log.info("complete the prefixes of %d problems, %d in flight", len(courses), worker.capacity)
        counter = _Counter("completions", sum(c.size for c in courses), sum(c.owed for c in courses))
        feed = Feed(first)
        async with aclosing(self._work_off(feed, worker)) as done:
            async for rollout in done:
                assert isinstance(rollout, Rollout)
                self._store.add(rollout)
                course = self._completing[rollout.problem_id]
                self._tally.add_rollout(rollout, last=course.is_last(rollout))
                feed.put(course.add(rollout))
                counter.add(0)
                self._tell(counter, rollout)
                for twin in self._share(course, rollout):
                    counter.add(0)
                    self._tell(counter, twin)

    def _share(self, course: PrefixCourse, rollout: Rollout) -> list[Rollout]:
        """Keep what a rollout says of other solutions that begin with the same text."""
        twins = course.twins(rollout)
        for twin in twins:
            self._store.add(twin)
            self._tally.add_rollout(twin, last=False)
            course.add(twin)
        return twins

    @property
    def lost(self) -> bool:
        """Whether infrastructure lost something in this run."""
        return bool(self._lost)

    async def _work_off(self, feed: Feed, worker: RolloutWorker) -> AsyncGenerator[Done, None]:
        """The results of the orders that ``feed`` gives, until done or until the infrastructure counts as down."""

        def take() -> Order | None:
            return None if self._lost_in_a_row >= LOST_IN_A_ROW else feed.take()

        async def work(order: Order) -> tuple[Order, Done | Unavailable]:
            try:
                return order, await worker.run(order)
            except (EngineUnavailable, GraderUnavailable) as error:
                return order, error

        finished: AsyncGenerator[tuple[Order, Done | Unavailable], None] = as_finished(take, work, worker.capacity)
        async with aclosing(finished):
            async for order, result in finished:
                if isinstance(result, Exception):
                    self._lose(order, result)
                else:
                    if not (isinstance(order, PrefixOrder) and order.is_last):
                        self._lost_in_a_row = 0  # a last step needs no engine and says nothing of it
                    yield result

    def _lose(self, order: Order, error: Unavailable) -> None:
        name, place = order.problem.id, {"sample": order.index} if isinstance(order, SampleOrder) else {}
        if isinstance(order, PrefixOrder):
            name, place = order.id, {"step": order.step}
        log.warning("%s %s was lost: %s", name, place, error)
        failure = "engine" if isinstance(error, EngineUnavailable) else "grader"
        self._run.append_error({"key": order.key, "id": name, **place, "failure": failure, "message": str(error)})
        self._lost.append(error)
        self._lost_in_a_row += 1

    def _tell(self, counter: _Counter, result: Done) -> None:
        if self._on_progress is not None:
            self._on_progress(counter.progress(result, self._tally))

    def _prefix_courses(self) -> dict[str, PrefixCourse]:
        solutions = self._given.solutions
        if solutions is None:
            solutions = tuple(self._kept())
        by_problem: dict[str, list[Solution]] = {problem.id: [] for problem in self._given.problems}
        for solution in solutions:
            by_problem[str(solution.problem_id)].append(solution)
        key, plan, known = partial(rollout_key, self._identity), self._plan, self._store.rollouts
        return {
            problem.id: PrefixCourse(problem, by_problem[problem.id], plan.amounts, plan.rule, key, known)
            for problem in self._given.problems
        }

    def _kept(self) -> Iterable[Solution]:
        for course in self._sampling.values():
            yield from kept(course, self._store, self._plan.budget, self._seed, self._generator)

    def _sampled(self) -> Iterable[Solution]:
        for course in self._sampling.values():
            yield from sampled(course, self._store, self._generator)

    def _alone(self, course: PrefixCourse) -> Rollout | None:
        """What an earlier run found for the problem alone."""
        if not course.solutions:
            return None
        key = course.key_of(None, PROBLEM_ALONE)
        return self._store.rollout(key) if key in self._store.rollouts else None

    def write_results(self) -> Summary:
        """selected.jsonl, items.jsonl and metrics.json, from what is there."""
        completing = self._completing or self._prefix_courses()
        derived = derive(self._sampling, list(completing.values()), self._store)
        solutions = self._in_input_order(derived.solutions)
        write_lines(self._run.path / SELECTED, map(solution_to_dict, solutions))
        if self._sampling:
            write_lines(self._run.path / SAMPLED, map(solution_to_dict, self._sampled()))
        self._run.write_items(derived.items)
        metrics = self._metrics(derived, completing.values())
        self._run.write_metrics(metrics)
        log.info("%s", metrics)
        reused = sum(c.reused for c in self._sampling.values()) + sum(c.reused for c in completing.values())
        return Summary(self._run.path, solutions, derived.items, metrics, reused)

    def _in_input_order(self, solutions: tuple[Solution, ...]) -> tuple[Solution, ...]:
        if self._given.solutions is None:
            return solutions
        by_id = {solution.id: solution for solution in solutions}
        return tuple(by_id[solution.id] for solution in self._given.solutions)

    def _metrics(self, derived: Derived, completing: Iterable[PrefixCourse]) -> Mapping[str, Any]:
        seconds = time.monotonic() - self._started
        before = (self._run.read_metrics().get("timing") or {}).get("seconds_all_runs", 0.0)
        return {
            "problems": len(derived.items),
            "difficulties": derived.difficulties,
            "solutions": len(derived.solutions),
            "samples_owed": sum(course.owed for course in self._sampling.values()),
            "prefixes_owed": sum(course.owed for course in completing),
            **derived.tally.as_dict(),
            "lost": len(self._lost),
            "timing": {
                "seconds": seconds,
                "seconds_all_runs": before + seconds,
                "tokens_per_s": self._tally.tokens / seconds if seconds else None,
            },
        }

    def raise_if_lost(self) -> None:
        """Raise the first infrastructure failure, with how much is owed and what to do."""
        if not self._lost:
            return
        owed = sum(c.owed for c in self._sampling.values()) + sum(c.owed for c in self._completing.values())
        raise type(self._lost[0])(
            f"{self._lost[0]}; {owed} samples and prefixes are owed in {self._run.path}: "
            "run the same command again to continue"
        )


class _Counter:
    """How far a phase is."""

    def __init__(self, phase: Phase, total: int, owed: int) -> None:
        self._phase = phase
        self._total = total
        self._done = self._before = total - owed
        self._started = time.monotonic()

    def add(self, more: int) -> None:
        """One more is done, and so many more are needed."""
        self._done += 1
        self._total += more

    def progress(self, result: Done, tally: Tally) -> Progress:
        age = time.monotonic() - self._started
        return Progress(self._phase, result, self._done, self._total, self._done - self._before, tally, age)
