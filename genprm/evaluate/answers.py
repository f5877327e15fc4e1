"""What samples conclude, whether it is right, and which of them say the same.

Answers are the same where math-verify says so (``records.grading``). It says so of pairs, and not for every pair in
both orders; so an answer joins the first group, in the order in which answers come, whose first member it equals as a
reference. An answer that cannot be read or compared within the grader's deadline stays alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from genprm.background import BackgroundLoop
from genprm.records.grading import Grader
from genprm.records.plain import numbers_agree
from genprm.types import Solution

Result = TypeVar("Result")


def conclusions(solutions: Sequence[Solution]) -> tuple[list[str], list[bool]]:
    """The answer of each solution, empty where there is none, and whether it is right.

    ``predicted_answer`` and ``final_answer_correct`` hold where they are given; else the answer is extracted from the
    last step and compared with ``answer``, which must be there. Raises ``GraderUnavailable``.
    """
    if all(one.predicted_answer is not None and one.final_answer_correct is not None for one in solutions):
        return [one.predicted_answer or "" for one in solutions], [bool(one.final_answer_correct) for one in solutions]

    async def work(grader: Grader) -> tuple[list[str], list[bool]]:
        found = await asyncio.gather(*(_conclusion(grader, solution) for solution in solutions))
        return [answer for answer, _ in found], [right for _, right in found]

    return _with_grader(work)


async def _conclusion(grader: Grader, solution: Solution) -> tuple[str, bool]:
    answer = solution.predicted_answer
    if answer is None:
        answer = (await grader.read(solution.steps[-1])).answer
    if solution.final_answer_correct is not None:
        return answer, solution.final_answer_correct
    return answer, (await grader.compare(solution.answer or "", answer)).correct


def same_answers(problems: Sequence[Sequence[str]]) -> list[list[int]]:
    """Of each problem's answers the number of their group, counted from 0 in order of appearance; -1 for an empty one.

    Raises ``GraderUnavailable``.
    """
    distinct = [list(dict.fromkeys(answer.strip() for answer in answers if answer.strip())) for answers in problems]
    if all(_number(answer) is not None for answers in distinct for answer in answers):
        groups = [_by_number(answers) for answers in distinct]
    else:

        async def work(grader: Grader) -> list[dict[str, int]]:
            return list(await asyncio.gather(*(_grouped(grader, answers) for answers in distinct)))

        groups = _with_grader(work)
    return [
        [found.get(answer.strip(), -1) for answer in answers] for answers, found in zip(problems, groups, strict=True)
    ]


async def _grouped(grader: Grader, answers: Sequence[str]) -> dict[str, int]:
    """The group of each distinct answer; plain numbers need no process."""
    if all(_number(answer) is not None for answer in answers):
        return _by_number(answers)
    first: list[str] = []
    found: dict[str, int] = {}
    for answer in answers:
        for group, reference in enumerate(first):
            if (await grader.compare(reference, answer)).correct:
                found[answer] = group
                break
        else:
            found[answer] = len(first)
            first.append(answer)
    return found


def _by_number(answers: Sequence[str]) -> dict[str, int]:
    groups: dict[Decimal | None, int] = {}
    return {answer: groups.setdefault(_number(answer), len(groups)) for answer in answers}


def _number(answer: str) -> Decimal | None:
    """The value of a plain number; ``None`` for any other text."""
    return Decimal(answer) if numbers_agree(answer, answer) else None


def _with_grader(work: Callable[[Grader], Coroutine[Any, Any, Result]]) -> Result:
    """On a loop of its own, so that callers may have one: a notebook has."""

    async def whole() -> Result:
        grader = Grader()
        try:
            return await work(grader)
        finally:
            await grader.aclose()

    loop = BackgroundLoop("genprm-answers")
    try:
        return loop.run(whole())
    finally:
        loop.close()
