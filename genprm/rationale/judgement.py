"""Finding the judgement a model wrote: in the output block, or, leniently, on a bare last line.

Only these two places count. A ``\\boxed{No}`` in an analysis or in code never flips a verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from genprm.types import Judgement

_BLOCK = re.compile(r"^<output>", re.MULTILINE)
_BOX = re.compile(r"\\boxed\s{0,3}\{\s{0,3}(?:\\text\s{0,3}\{\s{0,3})?(yes|no)\b", re.IGNORECASE)
_WORD = re.compile(r"\bjudge?ment\W{1,12}(yes|no)\b", re.IGNORECASE)
_LINE = re.compile(
    r"^[*\s]{0,4}judge?ment[*:\s$]{1,8}(?:\\boxed\s{0,3}\{\s{0,3})?(yes|no)[}$*.\s]{0,8}(?:</output>\s{0,8})?\Z",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_LINE = 200
"""Characters from the end in which a bare judgement is looked for, so that hostile text costs nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A judgement in a text, with character positions."""

    judgement: Judgement
    block: int
    """Where the output block, or the bare line, starts."""
    word: int
    """Where the Yes or No starts."""
    boxed: bool
    """The word stands right after ``\\boxed{`` in an output block, so probabilities can be read there."""


def find_judgement(text: str) -> Found | None:
    """The judgement in the last output block that has one, else on the bare last line, else None."""
    for block in reversed([match.start() for match in _BLOCK.finditer(text)]):
        close = text.find("</output>", block)
        end = len(text) if close == -1 else close
        if match := _BOX.search(text, block, end):
            return _found(match, block, boxed=True)
        if match := _WORD.search(text, block, end):
            return _found(match, block, boxed=False)
    start = text.rfind("\n", 0, max(len(text) - _LONGEST_LINE, 0)) + 1
    match = _LINE.search(text, start)
    return _found(match, match.start(), boxed=False) if match else None


def _found(match: re.Match[str], block: int, *, boxed: bool) -> Found:
    judgement = cast(Judgement, match[1].capitalize())
    return Found(judgement, block, match.start(1), boxed)
