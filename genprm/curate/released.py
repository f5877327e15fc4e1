"""Conversations back into problems, steps and rationales: the released GenPRM-MATH-Data, and what ``export`` wrote.

A row is ``{"conversations": [{"role", "content"}, ...]}``: a system turn, then a user and an assistant turn for each
step. The first user turn joins the problem and the first step without a mark between them. Where ``index.jsonl`` lies
beside the rows (every export has one) it says how long the problem is, and the row is read exactly. Otherwise it is
guessed: at the first "Step 1:" at the start of a line, else at the last blank line ("Question: ..." turns, whose
steps are paragraphs without one), else at the last newline; how often there were several places is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from genprm.errors import InputError
from genprm.prompts import PromptStyle, messages
from genprm.rationale.grammar import Rationale, parse, turn_segments
from genprm.records import read_lines
from genprm.records.hub import load_rows
from genprm.types import Mode, Segment

ROWS, INDEX = "train.jsonl", "index.jsonl"
_FIRST_STEP = re.compile(r"\n+(?=[ \t]*(?:[*#]+[ \t]*)?Step[ \t]+1\b[ \t]*\**[ \t]*[:.])")
_QUESTION = "Question: "


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation; it is a training ``Conversation`` as it stands."""

    problem: str
    steps: tuple[str, ...]
    rationales: tuple[Rationale, ...]
    """One a step, each with a judgement."""

    @property
    def mode(self) -> Mode:
        return conversation_mode(self.rationales)

    @property
    def turns(self) -> tuple[tuple[Segment, ...], ...]:
        return tuple(turn_segments(rationale, index + 1) for index, rationale in enumerate(self.rationales))


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used."""

    row: int
    """Counted from 0."""
    reason: str
    """``roles``, ``text``, ``opening`` or ``judgement``."""


@dataclass(frozen=True, slots=True)
class GenPRMData:
    """What a set of conversations holds, and what of it could not be used."""

    examples: tuple[Example, ...]
    rejected: tuple[Rejected, ...]
    deviations: Mapping[str, int]
    """Departures of the turns from the format (see ``grammar.Parsed``), counted; such a turn was mended."""
    guessed: int
    """Rows with more than one place where the problem may have ended."""


def load_genprm_data(place: str | Path) -> GenPRMData:
    """The conversations of a JSONL file, of an exported or downloaded folder, or of the ``train`` split of a hub name.

    Malformed rows are rejected with their reason: ``roles`` (not system, then user and assistant in turn), ``text`` (a
    turn is empty or no string), ``opening`` (no place where the problem ends), ``judgement`` (a turn without one).
    Raises ``InputError`` if the place cannot be read or holds no row that can be used.
    """
    rows, index = _rows(place)
    examples: list[Example] = []
    rejected: list[Rejected] = []
    deviations: Counter[str] = Counter()
    guessed = 0
    for number, row in enumerate(rows):
        reader = _Row(row, index.get(number))
        made = reader.example()
        if isinstance(made, str):
            rejected.append(Rejected(number, made))
            continue
        examples.append(made)
        deviations.update(reader.deviations)
        guessed += reader.guessed
    if not examples:
        reasons = ", ".join(sorted({one.reason for one in rejected})) or "no rows"
        raise InputError(f"{place} holds no conversation that can be used ({reasons}); give rows like GenPRM-MATH-Data")
    return GenPRMData(tuple(examples), tuple(rejected), dict(sorted(deviations.items())), guessed)


def conversation_mode(rationales: Iterable[Rationale]) -> Mode:
    """The mode that names the system prompt: ``direct`` if no turn has an analysis or code, else ``code``."""
    return "code" if any(one.analysis is not None or one.rounds for one in rationales) else "direct"


def split_opening(text: str) -> tuple[str, str, bool] | None:
    """Problem and first step of a first user turn, and whether that was a guess; None where it cannot be cut."""
    body, asked = text.removeprefix(_QUESTION), text.startswith(_QUESTION)
    mark = "\n\n" if asked and "\n\n" in body else "\n"
    step = _FIRST_STEP.search(body)
    if step is not None:
        problem, first, sure = body[: step.start()], body[step.end() :], True
    else:
        (problem, _, first), sure = body.rpartition(mark), body.count(mark) == 1
    return (problem, first, not sure) if problem.strip() and first.strip() else None


class _Row:
    """Reads one row; notes how its turns deviate from the format."""

    def __init__(self, row: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
        self.row = row
        self.known = known
        self.deviations: list[str] = []
        self.guessed = False

    def example(self) -> Example | str:
        """The example, or the name of the reason why there is none."""
        said = self.row.get("conversations")
        if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
            return "roles"
        roles = [one.get("role") for one in said]
        if len(said) < 3 or len(said) % 2 == 0 or roles != ["system", *["user", "assistant"] * (len(said) // 2)]:
            return "roles"
        texts = [one.get("content") for one in said]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            return "text"
        opening = self.opening(str(texts[1]))
        if opening is None:
            return "opening"
        rationales = tuple(self.rationale(str(text)) for text in texts[2::2])
        if any(rationale.judgement is None for rationale in rationales):
            return "judgement"
        return Example(opening[0], (opening[1], *map(str, texts[3::2])), rationales)

    def opening(self, text: str) -> tuple[str, str] | None:
        """Problem and first step."""
        length, style = (self.known or {}).get("problem_characters"), (self.known or {}).get("style")
        if isinstance(length, int) and style in get_args(PromptStyle):
            before, between = _frame(style)
            end = len(before) + length
            problem, step = text[len(before) : end], text[end + len(between) :]
            # An index of other rows must not cut these.
            return (problem, step) if f"{before}{problem}{between}{step}" == text else None
        found = split_opening(text)
        self.guessed = found is not None and found[2]
        return None if found is None else found[:2]

    def rationale(self, text: str) -> Rationale:
        parsed = parse(text)
        self.deviations.extend(parsed.deviations)
        return parsed.rationale


@lru_cache
def _frame(style: PromptStyle) -> tuple[str, str]:
    """What stands before the problem and between it and the first step in a first user turn."""
    opening = messages("\0", ["\1"], [""], mode="code", style=style)[1][1]
    before, _, rest = opening.partition("\0")
    return before, rest.partition("\1")[0]


def _rows(place: str | Path) -> tuple[Iterable[Mapping[str, Any]], Mapping[int, Mapping[str, Any]]]:
    """The rows of a place, and what is known of them by number."""
    path = Path(place)
    if path.is_dir() and (path / ROWS).exists():
        path = path / ROWS
    if path.is_file():
        beside = path.with_name(INDEX)
        known = (
            dict(enumerate(record for _, record in read_lines(beside))) if path.name == ROWS and beside.exists() else {}
        )
        return (record for _, record in read_lines(path)), known
    return load_rows(str(place), None, "train"), {}
