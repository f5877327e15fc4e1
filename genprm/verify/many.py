"""Many solutions, many votes: every (solution, vote) is its own coroutine, with a bounded number in flight."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from genprm import prompts
from genprm.errors import InputError, RecordError
from genprm.types import Settled, Solution, Verification, Vote
from genprm.verdicts import VoteRule
from genprm.verify.course import Course, Feed, Unit
from genprm.verify.pool import as_finished
from genprm.verify.store import MemoryVotes
from genprm.verify.votes import Attempt, Judge, attempt_vote

DEFAULT_IN_FLIGHT = 64
"""Votes in flight where neither engine nor sandbox states a limit."""

OnVote = Callable[[Vote], None]


def in_flight(judge: Judge, concurrency: int | None = None) -> int:
    """How many votes may run at once: at most what the engine batches and the sandbox has sessions for."""
    if concurrency is not None and concurrency < 1:
        raise InputError(f"concurrency is {concurrency}; it must be at least 1")
    limits = [concurrency or int(getattr(judge.engine, "max_batch", DEFAULT_IN_FLIGHT))]
    if judge.sandbox is not None:
        limits.append(judge.sandbox.max_sessions)
    return max(1, min(limits))


def check_votes(votes: int) -> None:
    """Raises ``InputError`` for a number of votes that is none."""
    if votes < 1:
        raise InputError(f"votes is {votes}; it must be at least 1")


def check_fits(
    solutions: Sequence[Solution], judge: Judge, *, source: str = "solution", lines: Mapping[str, int] | None = None
) -> None:
    """Raises ``RecordError`` for the first step that, alone with its problem, leaves no room in the model's context."""
    tokenizer, limit = judge.engine.tokenizer, judge.engine.context_length
    frame = len(_alone("x", "x", judge))
    for solution in solutions:
        for index, step in enumerate(solution.steps):
            # Tokenising all texts would take minutes on a large file; a token is hardly ever less than a byte.
            if frame + len(solution.problem.encode()) + len(step.encode()) < limit:
                continue
            size = len(_alone(solution.problem, step, judge))
            if size >= limit:
                words = len(tokenizer.encode(step))
                raise RecordError(
                    f"step {index} of '{solution.id}' ({words} tokens) and the problem make a prompt of {size} tokens, "
                    f"the model's context is {limit}; drop or shorten the record, or use a model with a longer context",
                    source=source,
                    line=(lines or {}).get(solution.id),
                    field="steps",
                )


def _alone(problem: str, step: str, judge: Judge) -> tuple[int, ...]:
    settings, tokenizer = judge.settings, judge.engine.tokenizer
    segments = prompts.render(problem, (step,), (), tokenizer, mode=settings.mode, style=settings.prompt_style)
    return prompts.encode(segments, tokenizer).ids


async def verify_many(
    solutions: Sequence[Solution],
    judge: Judge,
    *,
    votes: int,
    vote_rule: VoteRule = "mean",
    settle: Settled = "all",
    concurrency: int | None = None,
    on_vote: OnVote | None = None,
) -> AsyncGenerator[tuple[int, Verification], None]:
    """(index in ``solutions``, its verification), each as soon as its last vote is in.

    Solutions need distinct ids. Raises ``InputError`` before any work; ``EngineUnavailable`` or ``SandboxUnavailable``
    when infrastructure loses a vote, for a lost vote is not a verdict.
    """
    check_votes(votes)
    check_fits(solutions, judge)
    places = {solution.id: index for index, solution in enumerate(solutions)}
    courses = (Course(solution, votes, MemoryVotes(), settle=settle, vote_rule=vote_rule) for solution in solutions)
    feed = Feed(unit for course in courses for unit in course.start())

    async def work(unit: Unit) -> tuple[Unit, Attempt]:
        return unit, await attempt_vote(unit.solution, unit.vote, judge, key=unit.key, steps=unit.steps)

    async with aclosing(as_finished(feed.take, work, in_flight(judge, concurrency))) as attempts:
        async for unit, attempt in attempts:
            if attempt.error is not None:
                raise attempt.error
            feed.put(unit, attempt.vote)
            if on_vote is not None:
                on_vote(attempt.vote)
            if unit.course.finished:
                yield places[unit.solution.id], unit.course.result()
