"""One solution record, a superset of ProcessBench, to a ``Solution`` and back.

Required: ``problem`` and ``steps`` (or a ``solution`` text, which is split). A field that is null counts as absent.
Unknown fields are carried through untouched in ``Solution.extra``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from genprm.errors import RecordError
from genprm.records.lines import dump_line, json_name
from genprm.types import Solution

KNOWN = (
    "id",
    "problem_id",
    "generator",
    "problem",
    "steps",
    "answer",
    "predicted_answer",
    "final_answer_correct",
    "label",
    "reward",
)
STEP_MARK = re.compile(r"(?m)^[ \t]*(?:[*#]+[ \t]*)?Step[ \t]+\d+\b[ \t]*\**[ \t]*[:.]")
BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


def content_id(problem: str, steps: Sequence[str]) -> str:
    """The id of a solution that came without one: the same text has the same id."""
    text = json.dumps([problem, list(steps)])
    return "auto-" + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def split_solution(text: str) -> tuple[tuple[str, ...], str]:
    """The steps of an unsplit solution, and how they were found, as words that end "split at ..."."""
    text = text.strip()
    marks = [match.start() for match in STEP_MARK.finditer(text)]
    if marks:
        # Words before the first mark belong to the first step: no text is dropped and no step invented.
        bounds = [0, *marks[1:], len(text)]
        pieces = [text[a:b].strip() for a, b in pairwise(bounds)]
        return tuple(pieces), "at 'Step k:' marks"
    pieces = [piece.strip() for piece in BLANK_LINES.split(text)]
    return tuple(pieces), "at blank lines" if len(
        pieces
    ) > 1 else "into one step, for it has no 'Step k:' or blank line"


def solution_from_dict(
    record: Mapping[str, Any], *, source: str = "record", line: int | None = None, judged: bool = False
) -> Solution:
    """The solution of a record. ``id`` is empty when the record has none. Raises ``RecordError``.

    ``judged``: the record is a result, which nobody will judge again, so its problem's text may be missing.
    """
    return _Reader(record, source, line, judged).solution()


def solution_to_dict(solution: Solution) -> dict[str, Any]:
    """The record of a solution: known fields in a fixed order, absent ones left out, then the unknown ones."""
    record: dict[str, Any] = {}
    for name in KNOWN:
        value = getattr(solution, name)
        if value is not None:
            record[name] = list(value) if isinstance(value, tuple) else value
    return record | {name: value for name, value in solution.extra.items() if name not in record}


class _Reader:
    """Reads the fields of one record; every complaint names file, line and field."""

    def __init__(self, record: Mapping[str, Any], source: str, line: int | None, judged: bool) -> None:
        self.record = record
        self.source = source
        self.line = line
        self.judged = judged

    def solution(self) -> Solution:
        steps = self.steps()
        return Solution(
            problem=self.problem(),
            steps=steps,
            id=self.text("id") or "",
            problem_id=self.text("problem_id"),
            generator=self.text("generator"),
            answer=self.text("answer"),
            predicted_answer=self.text("predicted_answer"),
            final_answer_correct=self.flag("final_answer_correct"),
            label=self.label(len(steps)),
            reward=self.reward(len(steps)),
            extra=self.extra(),
        )

    def fail(self, field: str, message: str) -> RecordError:
        return RecordError(message, source=self.source, line=self.line, field=field)

    def problem(self) -> str:
        value = self.record.get("problem")
        if value is None:
            if self.judged:
                return ""
            raise self.fail("problem", "is missing; give the problem's text")
        if not isinstance(value, str):
            raise self.fail("problem", f"is a {json_name(value)}; it must be a string")
        if not value.strip():
            raise self.fail("problem", "is empty; give the problem's text")
        return self.encodable("problem", value)

    def steps(self) -> tuple[str, ...]:
        value = self.record.get("steps")
        if value is None:
            return self.split_text()
        if not isinstance(value, list):
            raise self.fail("steps", f"is a {json_name(value)}; it must be a list of strings, one per step")
        if not value:
            raise self.fail("steps", "is empty; give at least one step or drop the record")
        for index, step in enumerate(value):
            if not isinstance(step, str):
                raise self.fail("steps", f"step {index} is a {json_name(step)}; every step must be a string")
            if not step.strip():
                raise self.fail("steps", f"step {index} is empty; take it out, and move a 'label' behind it by one")
            self.encodable("steps", step)
        return tuple(value)

    def split_text(self) -> tuple[str, ...]:
        text = self.record.get("solution")
        if text is None:
            raise self.fail("steps", "is missing; give a list of strings, or a 'solution' text to split")
        if not isinstance(text, str):
            raise self.fail("solution", f"is a {json_name(text)}; it must be a string")
        if not text.strip():
            raise self.fail("solution", "is empty; give the solution's text or a list 'steps'")
        return split_solution(self.encodable("solution", text))[0]

    def encodable(self, field: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.fail(
                field, f"holds half a character (position {error.start}); replace the \\ud... escape"
            ) from None
        return text

    def text(self, field: str) -> str | None:
        """A string; a number is taken as its text, as data sets often write ids and answers."""
        value = self.record.get(field)
        if value is None or isinstance(value, str):
            return value and self.encodable(field, value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self.fail(field, f"is a {json_name(value)}; it must be a string")

    def extra(self) -> dict[str, Any]:
        """The unknown fields. Rows of the hub may hold what no JSON line can: dates, images, NaN."""
        unknown = {name: value for name, value in self.record.items() if name not in KNOWN}
        for name, value in unknown.items():
            try:
                dump_line({name: value})
            except (TypeError, ValueError, RecursionError) as error:
                raise self.fail(str(name), f"cannot be written as JSON ({error}); drop or convert the field") from error
        return unknown

    def flag(self, field: str) -> bool | None:
        value = self.record.get(field)
        if value is None or isinstance(value, bool):
            return value
        raise self.fail(field, f"is a {json_name(value)}; it must be true or false")

    def label(self, steps: int) -> int | None:
        value = self.record.get("label")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fail("label", f"is a {json_name(value)}; it must be the index of the first wrong step, or -1")
        if not -1 <= value < steps:
            raise self.fail(
                "label", f"is {value}, but the record has {steps} steps; use 0 to {steps - 1}, or -1 for none"
            )
        return value

    def reward(self, steps: int) -> float | tuple[float | None, ...] | None:
        value = self.record.get("reward")
        if value is None or is_number(value):
            return value
        if not isinstance(value, list) or not all(item is None or is_number(item) for item in value):
            raise self.fail("reward", "must be a number, or a list of numbers with one per step (null: not judged)")
        if len(value) != steps:
            raise self.fail("reward", f"has {len(value)} numbers, but the record has {steps} steps; give one per step")
        return tuple(value)


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
