"""One critique of a whole solution, made into the rationales of a multi-turn GenPRM dialogue.

Headings and tags count only where the model wrote them: what code printed is hidden from the search, so it can open no
paragraph and close no part. A critique that does not say, for every step up to its first error, an analysis and a
check with executed code is malformed, and the reason is a stable name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genprm.curate.annotation import THINK
from genprm.curate.judge import majority
from genprm.errors import InputError
from genprm.rationale.format import CODE_END, CODE_START, OUTPUT_HEAD, VERIFY_END, CodeRound, Rationale
from genprm.types import Judgement, Segment

_HEADING = re.compile(r"^###\s*Paragraph\s+(\d{1,4})\s*:?\s*$", re.MULTILINE)
_PREFILL = re.compile(r"\ALet's analyze the Paragraph \d{1,4} step by step:\s*")
_HIDDEN = "\0"


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why there are no rationales."""

    reason: str
    """no_index, tie, headings, analysis, verify, code, output or text."""
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Reformatted:
    """The rationales of the steps up to the first error, that step included."""

    rationales: tuple[Rationale, ...]
    index: int
    """First wrong step, -1 for none: the majority of the critique's index votes."""


def reformat(segments: Sequence[Segment], votes: Sequence[int | None], steps: int) -> Reformatted | Malformed:
    """The rationales of a critique of a solution with so many steps."""
    found = majority(votes)
    index = found.index
    if index is None:
        return Malformed("tie" if found.tied else "no_index")
    wanted = steps if index == -1 else index + 1
    text = "".join(segment.text for segment in segments)
    shown = "".join(_HIDDEN * len(s.text) if s.author == "code" else s.text for s in segments)
    headings = list(_HEADING.finditer(shown))
    if [int(heading[1]) for heading in headings[:wanted]] != list(range(1, wanted + 1)):
        return Malformed("headings")
    if THINK in shown[headings[0].end() :]:
        return Malformed("text")
    bounds = [heading.start() for heading in headings] + [len(text)]
    rationales = []
    for step in range(wanted):
        start, end = headings[step].end(), bounds[step + 1]
        judgement: Judgement = "No" if step == index else "Yes"
        made = _rationale(text[start:end], shown[start:end], judgement)
        if isinstance(made, str):
            return Malformed(made, step)
        rationales.append(made)
    return Reformatted(tuple(rationales), index)


def _rationale(text: str, shown: str, judgement: Judgement) -> Rationale | str:
    """The rationale of one paragraph's section, or the reason why there is none. ``shown``: without code output."""
    match = re.match(r"\s*<analyze>\n?", shown)
    closed = shown.find("</analyze>")
    if match is None or closed < 0:
        return "analysis"
    analysis = _PREFILL.sub("", text[match.end() : closed].strip())
    opened = re.match(r"</analyze>\s*<verify>", shown[closed:])
    ended = shown.find(VERIFY_END, closed)
    if opened is None or ended < 0:
        return "verify"
    rounds = _rounds(text, shown, closed + opened.end(), ended)
    if isinstance(rounds, str):
        return rounds
    found, closing = rounds
    try:
        return Rationale(analysis, found, judgement, closing)
    except InputError:
        return "text"


def _rounds(text: str, shown: str, start: int, end: int) -> tuple[tuple[CodeRound, ...], str] | str:
    """The code rounds between two places, and the words behind the last; or why there are none."""
    rounds: list[CodeRound] = []
    position = start
    while (fence := shown.find(CODE_START, position, end)) >= 0:
        lead = text[position:fence].lstrip("\n") if rounds else ""
        begins = fence + len(CODE_START)
        stops = shown.find(CODE_END, begins - 1, end)
        if stops < 0:
            return "code"
        output = stops + len(CODE_END)
        if not shown.startswith(OUTPUT_HEAD, output):
            return "output"
        printed = output + len(OUTPUT_HEAD)
        after = printed + len(shown[printed:end]) - len(shown[printed:end].lstrip(_HIDDEN))
        if after == printed:
            return "output"
        try:
            rounds.append(CodeRound(text[begins : max(begins, stops)], text[printed:after], lead))
        except InputError:
            return "text"
        position = after + len("```\n")
    closing = text[position:end].lstrip("\n") if rounds else ""
    if not rounds:
        return "code"
    return tuple(rounds), closing if not closing or closing.endswith("\n") else closing + "\n"
