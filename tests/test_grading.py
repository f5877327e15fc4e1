"""Answers are compared by math-verify in processes that can be killed, and at once where they are plain numbers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm.errors import GraderUnavailable
from genprm.records import answers_agree, extract_answer, grading
from genprm.records.grading import Grade, Grader
from genprm.records.plain import boxed_number, numbers_agree

Result = TypeVar("Result")
ENDLESS = "$\\boxed{\\prod_{n=1}^{1000000} n^n}$"
ENDLESS_REFERENCE = "$\\sum_{n=1}^{100000000} n^{n}$"


def use(work: Callable[[Grader], Awaitable[Result]], *, deadline_s: float = 5.0, workers: int = 1) -> Result:
    async def main() -> Result:
        grader = Grader(workers=workers, deadline_s=deadline_s)
        try:
            return await work(grader)
        finally:
            await grader.aclose()

    return asyncio.run(main())


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [
        ("\\frac{1}{2}", "So the answer is $0.5$.", True),
        ("2x + 2", "$\\boxed{2(x+1)}$", True),
        ("(1,2)", "\\boxed{(2,1)}", False),
        ("12", "Thus \\boxed{12}.", True),
        ("12", "The final answer is 13. \\boxed{12}", True),
        ("0.5", "\\boxed{\\frac12}", True),
        ("1200", "\\boxed{1,200}", True),
    ],
)
def test_what_math_verify_says_counts(reference: str, text: str, expected: bool) -> None:
    grade = use(lambda grader: grader.grade(reference, text))
    assert (grade.correct, grade.status) == (expected, "graded")
    assert grade.answer == extract_answer(text)


def test_an_expression_that_never_ends_is_a_timeout_and_the_next_one_is_graded() -> None:
    async def work(grader: Grader) -> list[Grade]:
        first = await grader.grade(ENDLESS_REFERENCE, ENDLESS)
        assert not children()
        again = await grader.compare(ENDLESS_REFERENCE, first.answer)
        assert not children()  # it was remembered
        return [first, again, await grader.grade("\\frac{1}{2}", "$0.5$")]

    first, again, after = use(work, deadline_s=0.5)
    assert (first.status, first.correct) == ("timeout", False) and again == first
    assert after == Grade("\\frac{1}{2}", True, "graded")
    assert not children()


def test_the_deadline_is_processor_time_so_a_busy_machine_changes_nothing() -> None:
    """A worker that is stopped for longer than its deadline still gives its verdict."""

    async def work(grader: Grader) -> Grade:
        await grader.grade("1", "$x$")
        (worker,) = children()
        os.kill(worker, signal.SIGSTOP)
        task = asyncio.ensure_future(grader.grade("x+1", "$1+x$"))
        await asyncio.sleep(0.6)
        os.kill(worker, signal.SIGCONT)
        return await task

    assert use(work, deadline_s=0.3) == Grade("1+x", True, "graded")


def test_a_text_without_an_answer_has_none() -> None:
    async def work(grader: Grader) -> list[Grade]:
        return [await grader.grade("1", text) for text in ("", " \n", "I do not know.")]

    assert use(work) == [Grade("", False, "no_answer")] * 3


def test_a_worker_that_is_killed_from_outside_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(grader: Grader) -> Grade:
        await grader.grade("1", "$x$")
        (worker,) = children()
        os.kill(worker, signal.SIGKILL)
        return await grader.grade("x+1", "$1+x$")

    assert use(work).correct

    async def die(self: object, request: object) -> int:
        return signal.SIGKILL

    monkeypatch.setattr(grading._Worker, "ask", die)
    with pytest.raises(GraderUnavailable, match="was killed 3 times in a row; see whether memory is short"):
        use(work)
    assert not children()


def test_a_program_that_cannot_start_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading.sys, "executable", "/bin/false")
    with pytest.raises(GraderUnavailable, match=r"ended at its start; run /bin/false .* to see why"):
        use(lambda grader: grader.grade("1", "$x$"))


def test_a_question_that_nobody_waits_for_leaves_nothing() -> None:
    async def work(grader: Grader) -> Grade:
        task = asyncio.ensure_future(grader.grade(ENDLESS_REFERENCE, ENDLESS))
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await grader.grade("x+1", "$1+x$")

    assert use(work, deadline_s=60).correct
    assert not children()


def test_a_closed_grader_says_so() -> None:
    async def work(grader: Grader) -> Grade:
        await grader.aclose()
        return await grader.grade("1", "$x$")

    with pytest.raises(GraderUnavailable, match="is closed"):
        use(work)


def test_many_questions_share_few_workers() -> None:
    async def work(grader: Grader) -> tuple[list[Grade], int]:
        grades = await asyncio.gather(*(grader.grade(f"x+{n}", f"${n}+x+{n % 2}$") for n in range(12)))
        return grades, len(children())

    grades, processes = use(work, workers=2)
    assert [grade.correct for grade in grades] == [n % 2 == 0 for n in range(12)] and processes == 2


def number(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.4:
        return str(dice.randint(-30, 30))
    if kind < 0.5:
        return str(dice.randint(-(10**11), 10**11))
    if kind < 0.6:
        return "0" * dice.randint(0, 3) + str(dice.randint(0, 9))
    return f"{dice.randint(-3, 3)}.{''.join(dice.choice('0159') for _ in range(dice.randint(1, 6)))}"


def test_plain_numbers_are_compared_as_math_verify_compares_them() -> None:
    dice = random.Random(0)
    seen = {True: 0, False: 0}
    for _ in range(2500):
        first = number(dice)
        second = number(dice) if dice.random() < 0.5 else first + dice.choice(["", ".0", "0", "1"])
        if (same := numbers_agree(first, second)) is None:
            continue
        assert same == answers_agree(first, second), (first, second)
        seen[same] += 1
    assert min(seen.values()) > 500
    assert numbers_agree("1,200", "1200") is None and numbers_agree("1.0000001", "1") is None


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(["It costs $5", "so $x = 3$", "[1, 2]", "answer:", "a\n\n", "\\(", "**", "7%", "="])),
    st.sampled_from(["12", "-3", "0.50", "007", "1000"]),
    st.sampled_from(["{}", "${}$", "{}.", "${}$.\n", "\\({}\\)", "\n{}\n", "x = {}", "{}%", "{} km", "**{}**", "{}$"]),
)
def test_a_box_that_is_read_at_once_is_the_one_that_math_verify_reads(words: list[str], box: str, shape: str) -> None:
    text = " ".join([*words, shape.format(f"\\boxed{{{box}}}")])
    found = boxed_number(text)
    assert found is None or found == extract_answer(text)


def test_the_usual_endings_are_read_at_once() -> None:
    for text in ("Step 3: So it is \\boxed{12}.", "so $\\boxed{12}$.", "The answer is \\boxed{12}"):
        assert boxed_number(text) == "12" == extract_answer(text)
    for text in ("\\boxed{1} and \\boxed{2}", "\\boxed{12} km", "12", "Final answer is 3, not \\boxed{4}"):
        assert boxed_number(text) is None
