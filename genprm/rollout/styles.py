"""How a solution is written, cut into steps, and put back as the beginning of the policy's own turn.

============  ==========================  =====================================  ==========================
style         opening of the turn         steps                                  how the next step is opened
============  ==========================  =====================================  ==========================
step-forced   ``Step 1: ``                split before ``Step k``, written       ``Step k: ``
                                          ``Step k: text``
blank-lines   nothing                     split at blank lines                   nothing
trajectory    nothing                     split at blank lines, one step is fine  nothing
============  ==========================  =====================================  ==========================

A trajectory is one long text of thinking and response; its answer, as that of any text, stands behind ``</think>``.

A prefix is a list of segments, each encoded alone: mark, text, separator. So the tokens of steps 0..t begin with the
tokens of steps 0..t-1, and engines can reuse them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from genprm.errors import InputError
from genprm.prompts import Turn
from genprm.records.solutions import BLANK_LINES
from genprm.types import Segment

Style = Literal["step-forced", "blank-lines", "trajectory"]
SEPARATOR = "\n\n"
THOUGHT = "</think>"
_NEXT_STEP = re.compile(r"\n(?=Step \d+\b)")
_MARK = re.compile(r"\s*Step \d+\b[ \t]*[:.]?\s*")


class Steps(NamedTuple):
    """A text that was cut."""

    steps: tuple[str, ...]
    separator: str
    """What stood between the steps: a blank line, or a line break."""


def check_style(style: str) -> None:
    """Raises ``InputError`` for a style that is none."""
    if style not in get_args(Style):
        raise InputError(f"style is '{style}'; it must be one of {', '.join(get_args(Style))}")


def least_steps(style: Style) -> int:
    """A solution of fewer steps did not follow the style."""
    return 1 if style == "trajectory" else 2


def cut(style: Style, text: str) -> Steps:
    """The steps of a solution text; empty ones are left out."""
    if style != "step-forced":
        blocks = (block.strip() for block in BLANK_LINES.split(text.strip()))
        return Steps(tuple(block for block in blocks if block), SEPARATOR)
    pieces = _NEXT_STEP.split(text.strip())
    wide = sum(piece.endswith("\n") for piece in pieces[:-1])
    bodies = [body for piece in pieces if (body := unmarked(piece))]
    steps = tuple(f"{mark(index)}{body}" for index, body in enumerate(bodies))
    return Steps(steps, SEPARATOR if 2 * wide >= len(pieces) - 1 else "\n")


def starts(style: Style, text: str) -> tuple[int, ...]:
    """Where in ``text`` each step of ``cut`` begins: 0, then behind the last character of the step before.

    So what separates two steps, and the mark of the second, belong to the second.
    """
    breaks = (_NEXT_STEP if style == "step-forced" else BLANK_LINES).finditer(text)
    found: list[int] = []
    begin = end = 0
    for place in [*(one.span() for one in breaks), (len(text), len(text))]:
        piece = text[begin : place[0]]
        body = unmarked(piece) if style == "step-forced" else piece.strip()
        if body:
            found.append(end if found else 0)
            end = begin + len(piece.rstrip())
        begin = place[1]
    return tuple(found)


def opening(style: Style) -> Turn:
    """How the policy's turn begins."""
    return (Segment("harness", mark(0)),) if style == "step-forced" else ()


def prefix(style: Style, steps: Sequence[str], separator: str = SEPARATOR) -> Turn:
    """The policy's turn after these steps, ready for the next one; without steps, its opening."""
    turn = list(opening(style))
    for index, step in enumerate(steps, start=1):
        turn.append(Segment("model", unmarked(step) if style == "step-forced" else step))
        turn.append(Segment("harness", separator))
        if style == "step-forced":
            turn.append(Segment("harness", mark(index)))
    return tuple(turn)


def concluding(text: str) -> str:
    """The part of a text that holds its answer: what follows the thinking, if there was any."""
    return text.rpartition(THOUGHT)[2]


def mark(index: int) -> str:
    """What opens a step, counted from 0, where steps are forced."""
    return f"Step {index + 1}: "


def unmarked(step: str) -> str:
    """A step without its mark and the space around it."""
    return _MARK.sub("", step, count=1).strip() if _MARK.match(step) else step.strip()
