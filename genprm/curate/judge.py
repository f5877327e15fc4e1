"""A language model as judge of where a solution first goes wrong: its prompt, its answer, its votes. Pure.

    prompt = judge_prompt(solution.problem, solution.steps)
    votes = [parse_index(text, len(solution.steps)) for text in answers]
    majority(votes).index

The judge sees the problem and the steps, nothing else. Its answer is the index of the first wrong step, counted from 0
as everywhere here, or -1. What cannot be read is None and is counted, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genprm.errors import InputError
from genprm.prompts import fill

_BOX = re.compile(r"\\boxed\b")
_INDEX = re.compile(
    r"\\boxed\s{0,3}\{\s{0,3}\$?(?:\\text\s{0,3}\{)?\s{0,3}(?:paragraph[_ ]?)?"
    r"([-\u2212]?\d{1,6})\s{0,3}\}?\$?\s{0,3}(?:\}|\Z)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Majority:
    """What several votes on a first-error index come to."""

    index: int | None
    """The index that more votes name than any other; None on a tie, or if no vote could be read."""
    votes: int
    unparsable: int
    tied: bool


def judge_prompt(problem: str, steps: Sequence[str]) -> str:
    """The judge's prompt (``prompts/judge.jinja``). Raises ``InputError`` without steps."""
    if not steps:
        raise InputError("a judge needs at least one step; drop the solution")
    return fill("judge.jinja", problem=problem, steps=list(steps))


def parse_index(text: str, steps: int, *, first: int = 0) -> int | None:
    """The step index in the last ``\\boxed{}`` of ``text``; -1 for no error.

    ``first`` is the number that the text gives to the first step (1 where paragraphs are counted from 1). A box that
    was cut off by a stop string before its brace counts. None where the last box holds no whole number, or one that
    is no step; an earlier box never stands in for it.
    """
    boxes = [match.start() for match in _BOX.finditer(text)]
    found = _INDEX.match(text, boxes[-1]) if boxes else None
    if found is None:
        return None
    number = int(found[1].replace("\u2212", "-"))
    if number == -1:
        return -1
    index = number - first
    return index if 0 <= index < steps else None


def majority(votes: Sequence[int | None]) -> Majority:
    """The index that most of the readable votes name. Not more than half of them need to: 2, 2, 5 and -1 give 2."""
    counted = Counter(vote for vote in votes if vote is not None).most_common(2)
    tied = len(counted) == 2 and counted[0][1] == counted[1][1]
    index = counted[0][0] if counted and not tied else None
    return Majority(index, len(votes), sum(vote is None for vote in votes), tied)
