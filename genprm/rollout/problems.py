"""Problems with their reference answers: a named data set, a JSONL file, or the problems of given solutions.

``NAME`` or ``NAME:SPLIT`` with a name of ``DATA_SETS`` comes from the Hugging Face hub or its cache; anything else is a
source of records, as ``genprm.records.read_solutions`` knows them. A record states its reference answer in one of the
ways that data sets do:

* ``problem`` (or ``question``) and ``answer``;
* ``question`` and an ``answer`` whose last line is ``#### result``, as in GSM8K;
* ``problem`` and a ``solution`` whose last ``\\boxed{...}`` holds it, as in MATH.

Records with ``steps`` are solutions that are there already: nothing is sampled, their prefixes are completed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from genprm.errors import InputError, RecordError
from genprm.records import Loaded, content_id, read_solutions
from genprm.records.hub import load_rows
from genprm.records.inputs import HUB, STDIN, load_records
from genprm.records.lines import json_name, parse_lines, read_bytes
from genprm.types import Problem, Solution

Rows = Iterable[tuple[int | None, Mapping[str, Any]]]
"""(line, record); no line where the source has none."""


class DataSet(NamedTuple):
    """Where a named data set lies on the hub."""

    name: str
    config: str | None
    split: str


DATA_SETS = {
    "gsm8k": DataSet("openai/gsm8k", "main", "train"),
    "math": DataSet("DigitalLearningGmbH/MATH-lighteval", None, "train"),
    "math500": DataSet("HuggingFaceH4/MATH-500", None, "test"),
    "amc23": DataSet("math-ai/amc23", None, "test"),
    "aime24": DataSet("HuggingFaceH4/aime_2024", None, "train"),
    "minerva": DataSet("math-ai/minervamath", None, "test"),
}
_USED = ("id", "unique_id", "problem", "question", "answer")
_GSM8K_ANSWER = re.compile(r"####[ \t]*(\S[^\n]*)\s*\Z")


@dataclass(frozen=True, slots=True)
class Given:
    """What a rollout starts from."""

    problems: tuple[Problem, ...]
    """Distinct ids, in the order of the source."""
    solutions: tuple[Solution, ...] | None = None
    """Solutions that are there already, each with id and problem id; ``None``: they are to be sampled."""
    notes: tuple[str, ...] = ()
    source: str = "problems"
    lines: Mapping[str, int] = field(default_factory=dict)
    """Line of each id, where the source has lines."""

    def __post_init__(self) -> None:
        for what, records in (("problems", self.problems), ("solutions", self.solutions or ())):
            twice = [id for id, count in Counter(record.id for record in records).items() if count > 1 or not id]
            if twice:
                raise InputError(f"the id '{twice[0]}' is empty or of two {what}; ids must be there and unique")


def read_given(spec: str, *, limit: int | None = None) -> Given:
    """The first ``limit`` problems, or solutions, of a source. Raises ``RecordError`` or ``InputError``."""
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    name, _, split = spec.partition(":")
    if name in DATA_SETS and not Path(spec).exists():
        return _from_hub(name, split, limit)
    if spec.startswith(HUB):
        return _of_solutions(read_solutions(spec, limit=limit))
    source, data = (STDIN, sys.stdin.buffer.read()) if spec == "-" else (spec, _bytes(spec))
    rows = list(parse_lines(data, source))
    if any(row.get("steps") is not None for _, row in rows):
        return _of_solutions(load_records(iter(rows), source, limit))
    return _problems(rows[:limit], source)


def _bytes(spec: str) -> bytes:
    path = Path(spec)
    if not path.exists():
        raise InputError(
            f"there is no file or data set '{spec}'; give a JSONL file, -, hub:name:split or one of "
            f"{', '.join(DATA_SETS)}"
        )
    return read_bytes(path)


def _from_hub(name: str, split: str, limit: int | None) -> Given:
    place = DATA_SETS[name]
    chosen = split or place.split
    rows = load_rows(place.name, place.config, chosen)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    given = _problems(
        ((None, {"id": f"{name}-{chosen}-{index}"} | _without_id(row)) for index, row in enumerate(rows)),
        f"{name}:{chosen}",
    )
    return replace(given, notes=(f"problems of {place.name}, split {chosen}",))


def _without_id(row: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of hub rows repeat in other data sets; the place in this one does not."""
    return {field: value for field, value in row.items() if field != "id"}


def _problems(rows: Rows, source: str) -> Given:
    problems: list[Problem] = []
    lines: dict[str, int | None] = {}
    made = 0
    for line, row in rows:
        problem = problem_from_dict(row, source=source, line=line)
        if not problem.id:
            problem = replace(problem, id=content_id(problem.problem, ()))
            made += 1
        if problem.id in lines:
            place = "" if lines[problem.id] is None else f" in line {lines[problem.id]}"
            raise RecordError(
                f"'{problem.id}' is already used{place}; ids must be unique", source=source, line=line, field="id"
            )
        lines[problem.id] = line
        problems.append(problem)
    if not problems:
        raise RecordError("is empty; give at least one record", source=source)
    notes = (f"{made} of {len(problems)} problems had no id: made from the text",) if made else ()
    return Given(tuple(problems), None, notes, source, {id: line for id, line in lines.items() if line is not None})


def problem_from_dict(record: Mapping[str, Any], *, source: str = "record", line: int | None = None) -> Problem:
    """The problem of a record. ``id`` is empty when the record has none. Raises ``RecordError``."""
    reader = _Fields(record, source, line)
    text = "question" if record.get("problem") is None and record.get("question") is not None else "problem"
    return Problem(
        id=reader.text("id", needed=False) or reader.text("unique_id", needed=False),
        problem=reader.text(text),
        answer=_reference(reader),
        extra={name: value for name, value in record.items() if name not in _USED},
    )


def problem_to_dict(problem: Problem) -> dict[str, Any]:
    """The record of a problem."""
    record: dict[str, Any] = {"id": problem.id, "problem": problem.problem, "answer": problem.answer}
    return record | {name: value for name, value in problem.extra.items() if name not in record}


def boxed(text: str) -> str | None:
    """What the last ``\\boxed{...}`` of a text holds, braces balanced; ``None`` if there is none that ends."""
    start = text.rfind("\\boxed{")
    depth = 0
    for place in range(start + len("\\boxed"), len(text) if start >= 0 else 0):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : place].strip()
    return None


def _reference(reader: _Fields) -> str:
    """The reference answer of a record, in whichever way it states it."""
    if reader.record.get("answer") is None and reader.record.get("solution") is not None:
        found = boxed(reader.text("solution"))
        if not found:
            raise reader.fail("solution", "has no \\boxed{...}; give the reference answer as 'answer'")
        return found
    answer = reader.text("answer")
    marked = _GSM8K_ANSWER.search(answer)
    if marked:
        return marked[1].strip().replace(",", "")
    if "####" in answer:
        raise reader.fail("answer", "has nothing behind its '####'; give the reference answer")
    return answer.strip()


class _Fields:
    """Reads the fields of one record; every complaint names file, line and field."""

    def __init__(self, record: Mapping[str, Any], source: str, line: int | None) -> None:
        self.record = record
        self._source = source
        self._line = line

    def text(self, field: str, *, needed: bool = True) -> str:
        """A string; a number is taken as its text, a whole one without its point: data sets write answers so."""
        value = self.record.get(field)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if value is None and not needed:
            return ""
        if not isinstance(value, str):
            told = "is missing" if value is None else f"is a {json_name(value)}"
            raise self.fail(field, f"{told}; a problem needs it as a string")
        if needed and not value.strip():
            raise self.fail(field, "is empty; fill it in or drop the record")
        return value

    def fail(self, field: str, message: str) -> RecordError:
        return RecordError(message, source=self._source, line=self._line, field=field)


def _of_solutions(loaded: Loaded) -> Given:
    """Solutions with the problems that they are about; each needs a reference answer."""
    problems: dict[str, Problem] = {}
    solutions = []
    for solution in loaded.solutions:
        line = loaded.lines.get(solution.id)
        if not solution.answer:
            raise RecordError(
                f"of '{solution.id}' is missing; completions are compared with it, so give the reference answer",
                source=loaded.source,
                line=line,
                field="answer",
            )
        named = replace(solution, problem_id=solution.problem_id or content_id(solution.problem, ()))
        assert named.problem_id is not None and named.answer is not None
        problem = Problem(named.problem_id, named.problem, named.answer)
        first = problems.setdefault(problem.id, problem)
        if first != problem:
            raise RecordError(
                f"'{problem.id}' of '{solution.id}' is another problem or answer in an earlier record; "
                "give every problem its own id",
                source=loaded.source,
                line=line,
                field="problem_id",
            )
        solutions.append(named)
    return Given(tuple(problems.values()), tuple(solutions), loaded.notes, loaded.source, loaded.lines)
