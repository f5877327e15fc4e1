"""The scorer contract as checks that run: every scorer passes all of them.

A check is an async function of a ``Subject``; it opens scorers through ``Subject.open`` and raises ``AssertionError``
with a sentence when a promise is broken.

    for check in checks_for(subject):
        asyncio.run(check(subject))
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genprm.errors import EngineUnavailable, InputError
from genprm.scorers.base import Scored, StepReward, StepScorer
from genprm.types import Solution

NEAR = 1e-4
"""How far two computations of one reward may be apart."""
SEAM = 4
"""Tokens that may have to be read again where a step is added: the last of what was there may have become others."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the checks need to know of a scorer.

    ``open`` makes a fresh scorer of one and the same model. ``solutions``: a few of different lengths, of several
    problems, well inside its context. ``filler``: a text so long that one step of it leaves no room for another.
    ``reference``: the rewards of a solution, computed slowly by other means, if there are any.
    """

    open: Callable[[], StepScorer[Any]]
    solutions: tuple[Solution, ...]
    filler: str
    reference: Callable[[Solution], Sequence[float]] | None = None


Check = Callable[[Subject], Awaitable[None]]


@contextlib.asynccontextmanager
async def _opened(subject: Subject) -> AsyncIterator[StepScorer[Any]]:
    scorer = subject.open()
    try:
        yield scorer
    finally:
        await scorer.aclose()


def _demand(truth: bool, sentence: str) -> None:
    if not truth:
        raise AssertionError(sentence)


def _same(first: StepReward, second: StepReward) -> bool:
    if first.reward is None or second.reward is None:
        return first == second
    return abs(first.reward - second.reward) < NEAR and first.status == second.status


def _demand_same(first: Scored, second: Scored, words: str) -> None:
    alike = len(first.steps) == len(second.steps) and all(map(_same, first.steps, second.steps))
    _demand(alike, f"{words}: {first.rewards} and {second.rewards}")


async def every_step_has_a_reward(subject: Subject) -> None:
    """One entry a step, the last step included, each a probability; they are not all one number."""
    async with _opened(subject) as scorer:
        scored = await scorer.score(subject.solutions)
    _demand(len(scored) == len(subject.solutions), f"{len(scored)} results for {len(subject.solutions)} solutions")
    for solution, one in zip(subject.solutions, scored, strict=True):
        _demand(len(one.steps) == len(solution.steps), f"{len(one.steps)} entries for {len(solution.steps)} steps")
        for step in one.steps:
            known = step.reward is not None and 0 <= step.reward <= 1
            _demand(known and step.status == "judged" and step.failure is None, f"a step was answered {step}")
    _demand(len({step.reward for one in scored for step in one.steps}) > 1, "all steps have the same reward")


async def the_same_again_is_the_same(subject: Subject) -> None:
    """A scorer gives a solution what another one of the same model gives it, and what it gave it before."""
    async with _opened(subject) as scorer:
        first, again = await scorer.score(subject.solutions), await scorer.score(subject.solutions)
    async with _opened(subject) as other:
        third = await other.score(subject.solutions)
    for one, two, three in zip(first, again, third, strict=True):
        _demand_same(one, two, "the same call gave")
        _demand_same(one, three, "two scorers of one model gave")


async def neither_order_nor_batch_mates_count(subject: Subject) -> None:
    """A solution alone, in a crowd, in the crowd reversed, in a concurrent call: the same rewards; ids do not count."""
    async with _opened(subject) as scorer:
        crowd = await scorer.score(subject.solutions)
        back = await scorer.score(subject.solutions[::-1])
        renamed = [replace(one, id=f"other {n}", label=0, answer="7") for n, one in enumerate(subject.solutions)]
        alone = await asyncio.gather(*(scorer.score([one]) for one in renamed))
    for one, two, (three,) in zip(crowd, back[::-1], alone, strict=True):
        _demand_same(one, two, "another order gave")
        _demand_same(one, three, "in a crowd and alone the rewards are")


async def later_steps_change_nothing(subject: Subject) -> None:
    """The rewards of a prefix are the first rewards of the whole."""
    async with _opened(subject) as scorer:
        for solution in subject.solutions:
            (whole,) = await scorer.score([solution])
            for count in range(1, len(solution.steps)):
                (prefix,) = await scorer.score([replace(solution, steps=solution.steps[:count])])
                _demand_same(prefix, Scored(whole.steps[:count]), f"{count} steps of {len(solution.steps)} gave")


async def extending_says_what_scoring_says(subject: Subject) -> None:
    """``extend`` from ``begin``, step by step, gives what ``score`` gives; a state may be extended more than once."""
    async with _opened(subject) as scorer:
        for solution, expected in zip(subject.solutions, await scorer.score(subject.solutions), strict=True):
            state, steps = scorer.begin(solution.problem), []
            for text in solution.steps:
                await scorer.extend(state, f"Some other step than this one: {text}")
                state, reward = await scorer.extend(state, text)
                steps.append(reward)
            _demand_same(Scored(tuple(steps)), expected, "extending and scoring gave")


async def the_price_of_a_step_is_told(subject: Subject) -> None:
    """Every judged step says what it cost; a step that is added costs what it costs in the whole, a seam apart."""
    async with _opened(subject) as scorer:
        for solution, scored in zip(subject.solutions, await scorer.score(subject.solutions), strict=True):
            state = scorer.begin(solution.problem)
            for text, whole in zip(solution.steps, scored.steps, strict=True):
                state, added = await scorer.extend(state, text)
                words = f"a step cost {whole.tokens} tokens in the whole and {added.tokens} when it was added"
                _demand(0 < added.tokens <= whole.tokens + SEAM, words)
                _demand(whole.tokens > 0, words)


async def one_step_is_a_solution(subject: Subject) -> None:
    """A solution of one step has one reward: its last step is its first."""
    async with _opened(subject) as scorer:
        (scored,) = await scorer.score([Solution("What is 2 + 3?", ("2 + 3 = 5",))])
    _demand(len(scored.steps) == 1 and scored.rewards[0] is not None, f"one step was answered {scored.steps}")


async def nothing_is_no_question(subject: Subject) -> None:
    """No solutions have no results; a solution without steps is refused in a sentence."""
    async with _opened(subject) as scorer:
        _demand(await scorer.score([]) == (), "no solutions have results")
        try:
            await scorer.score([Solution("What is 2 + 3?", (), id="empty")])
        except InputError as error:
            _demand("empty" in str(error), f"the refusal does not name the solution: {error}")
        else:
            raise AssertionError("a solution without steps was scored")


async def any_text_is_text(subject: Subject) -> None:
    """Letters of all alphabets, step tags, control tokens, nothing at all: as many rewards as steps."""
    hostile = (
        "Числа ки ки: 2 + 3 = 5",
        "数は 5 です 🙂",
        "<extra_0> + <|im_end|>\n<s>",
        "",
        "  ",
        "\n\nStep 9: 5 ки\n",
    )
    solution = Solution("Сколько будет <extra_0> 2 + 3 ки?\n", hostile)
    async with _opened(subject) as scorer:
        (scored,) = await scorer.score([solution])
        state, last = scorer.begin(solution.problem), None
        for text in hostile:
            state, last = await scorer.extend(state, text)
    _demand(all(reward is not None for reward in scored.rewards), f"the rewards are {scored.rewards}")
    _demand(last is not None and _same(last, scored.steps[-1]), f"extending gave {last}, not {scored.steps[-1]}")


async def what_does_not_fit_is_no_number(subject: Subject) -> None:
    """A step behind the context failed with ``context``, later ones are not run, earlier ones keep their rewards."""
    first = subject.solutions[0]
    long = replace(first, steps=(*first.steps, subject.filler, subject.filler, "It is 5."))
    async with _opened(subject) as scorer:
        known, cut, mate = await scorer.score([first, long, first])
        _demand_same(known, mate, "beside a solution that is too long there is")
        _demand_same(known, Scored(cut.steps[: len(first.steps)]), "in front of a step that is too long there is")
        state, steps = scorer.begin(long.problem), []
        for text in long.steps:
            state, reward = await scorer.extend(state, text)
            steps.append(reward)
    failed = [(step.status, step.failure) for step in cut.steps if step.status != "judged"]
    _demand(failed[:1] == [("failed", "context")], f"a text that is too long was answered {cut.steps}")
    _demand(failed[1:] == [("not_run", None)] * (len(failed) - 1), f"behind a failed step there is {failed[1:]}")
    _demand(len(failed) >= 2, f"the last steps were judged: {cut.steps}")
    _demand(all(s.reward is None for s in cut.steps if s.status != "judged"), "a failed step has a reward")
    _demand_same(Scored(tuple(steps)), cut, "extending and scoring a solution that is too long gave")


async def rewards_equal_the_reference(subject: Subject) -> None:
    """What the published way of reading the model gives, slowly."""
    if subject.reference is None:
        return
    async with _opened(subject) as scorer:
        scored = await scorer.score(subject.solutions)
    for solution, one in zip(subject.solutions, scored, strict=True):
        expected = Scored(tuple(StepReward(value) for value in subject.reference(solution)))
        _demand_same(one, expected, f"scorer and reference of {solution.steps} gave")


async def identity_is_stated(subject: Subject) -> None:
    """``identity`` names scorer and model in plain values and is the same for the same model."""
    async with _opened(subject) as first, _opened(subject) as second:
        mine, theirs = [dict(await asyncio.to_thread(getattr, one, "identity")) for one in (first, second)]
    _demand(mine == theirs, f"two scorers of one model have different identities: {mine} and {theirs}")
    _demand("scorer" in mine, f"the identity has only {sorted(mine)}")


async def closing_is_idempotent(subject: Subject) -> None:
    """``aclose`` may be called twice; a closed scorer answers rightly or raises ``EngineUnavailable``."""
    scorer = subject.open()
    await scorer.score(subject.solutions[:1])
    await scorer.aclose()
    await scorer.aclose()
    with contextlib.suppress(EngineUnavailable):
        (scored,) = await scorer.score(subject.solutions[:1])
        _demand(all(step.status == "judged" for step in scored.steps), "a closed scorer gave no rewards")
        await scorer.aclose()


CHECKS: tuple[Check, ...] = (
    every_step_has_a_reward,
    the_same_again_is_the_same,
    neither_order_nor_batch_mates_count,
    later_steps_change_nothing,
    extending_says_what_scoring_says,
    the_price_of_a_step_is_told,
    one_step_is_a_solution,
    nothing_is_no_question,
    any_text_is_text,
    what_does_not_fit_is_no_number,
    rewards_equal_the_reference,
    identity_is_stated,
    closing_is_idempotent,
)


def checks_for(subject: Subject) -> tuple[Check, ...]:
    """The checks that mean something for this scorer."""
    known = subject.reference is not None
    return tuple(check for check in CHECKS if known or check is not rewards_equal_the_reference)
