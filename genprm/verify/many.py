"""Many solutions, many votes: every (solution, vote) is its own coroutine, with a bounded number in flight."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from genprm import prompts
from genprm.errors import EngineUnavailable, InputError, RecordError, SandboxUnavailable
from genprm.runs.pool import as_finished
from genprm.runs.workers import Worker
from genprm.types import Solution, Verification, Vote
from genprm.verdicts import VoteRule
from genprm.verify.course import Course, Feed, Unit
from genprm.verify.stopping import Stop
from genprm.verify.store import MemoryVotes
from genprm.verify.votes import Attempt, Order, Terms, lost

OnVote = Callable[[Vote], None]
Voter = Worker[Order, Attempt, Terms]
"""Runs votes: a ``Judge``, or many of them on a Ray cluster."""


def check_votes(votes: int) -> None:
    """Raises ``InputError`` for a number of votes that is none."""
    if votes < 1:
        raise InputError(f"votes is {votes}; it must be at least 1")


def check_fits(
    solutions: Sequence[Solution], terms: Terms, *, source: str = "solution", lines: Mapping[str, int] | None = None
) -> None:
    """Raises ``RecordError`` for the first step that, alone with its problem, leaves no room in the model's context."""
    tokenizer, limit = terms.tokenizer, terms.context_length
    frame = len(_alone("x", "x", terms))
    for solution in solutions:
        for index, step in enumerate(solution.steps):
            # Tokenising all texts would take minutes on a large file; a token is hardly ever less than a byte.
            if frame + len(solution.problem.encode()) + len(step.encode()) < limit:
                continue
            size = len(_alone(solution.problem, step, terms))
            if size >= limit:
                words = len(tokenizer.encode(step))
                raise RecordError(
                    f"step {index} of '{solution.id}' ({words} tokens) and the problem make a prompt of {size} tokens, "
                    f"the model's context is {limit}; drop or shorten the record, or use a model with a longer context",
                    source=source,
                    line=(lines or {}).get(solution.id),
                    field="steps",
                )


def _alone(problem: str, step: str, terms: Terms) -> tuple[int, ...]:
    settings, tokenizer = terms.settings, terms.tokenizer
    segments = prompts.render(problem, (step,), (), tokenizer, mode=settings.mode, style=settings.prompt_style)
    return prompts.encode(segments, tokenizer).ids


async def verify_many(
    solutions: Sequence[Solution],
    worker: Voter,
    *,
    votes: int,
    vote_rule: VoteRule = "mean",
    stop: Stop = Stop(),  # noqa: B008 (a frozen value)
    on_vote: OnVote | None = None,
) -> AsyncGenerator[tuple[int, Verification], None]:
    """(index in ``solutions``, its verification), each as soon as its last vote is in.

    Solutions need distinct ids. Raises ``InputError`` before any work; ``EngineUnavailable`` or ``SandboxUnavailable``
    when infrastructure loses a vote, for a lost vote is not a verdict.
    """
    check_votes(votes)
    check_fits(solutions, worker.facts)
    places = {solution.id: index for index, solution in enumerate(solutions)}
    courses = (Course(solution, votes, MemoryVotes(), stop=stop, vote_rule=vote_rule) for solution in solutions)
    feed = Feed(courses)
    async with aclosing(attempts(feed.take, worker)) as done:
        async for unit, attempt in done:
            if attempt.error is not None:
                raise attempt.error
            feed.put(unit, attempt.vote)
            if on_vote is not None:
                on_vote(attempt.vote)
            if unit.course.finished:
                yield places[unit.solution.id], unit.course.result()


def attempts(take: Callable[[], Unit | None], worker: Voter) -> AsyncGenerator[tuple[Unit, Attempt], None]:
    """Have the worker run the units that ``take`` gives, as many at once as it can."""
    terms = worker.facts

    async def work(unit: Unit) -> tuple[Unit, Attempt]:
        order = Order(unit.solution, unit.vote, unit.key, unit.steps)
        try:
            return unit, await worker.run(order)
        except (EngineUnavailable, SandboxUnavailable) as error:
            return unit, lost(order, terms, error)

    return as_finished(take, work, worker.capacity)
