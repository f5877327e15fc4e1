"""PRMBench's own rows (hitsmy/PRMBench_Preview) as solution records.

A row holds two solutions: ``original_process`` of ``original_question``, without an error, and ``modified_process`` of
``modified_question`` with the wrong steps in ``error_steps``, counted from 1. It becomes two records; what the row says
of its error goes with the modified one, its step numbers counted from 0.

    id              counterfactual-prm_test_p2_87-modified, -original
    problem_id      prm_test_p2_87: every category makes a solution of the same problem wrong in another way
    classification  the row's category; ``correct`` for an original
    label           the first wrong step, -1 for none; absent where all that the row names lie behind the last step

Rows of several categories share an original: it is given once, with the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from genprm.errors import RecordError
from genprm.records.lines import json_name

ROW = frozenset(
    {"original_question", "modified_question", "original_process", "modified_process", "error_steps", "idx",
     "classification"}
)  # fmt: skip
"""The fields without which a row has no meaning."""
ORIGINAL = "correct"
"""The category of solutions that nobody modified; PRMBench's own word."""


class Row(NamedTuple):
    """A record and the line that it comes from."""

    line: int | None
    record: Mapping[str, Any]


class Expanded:
    """Records as they are, and two of each row of PRMBench. Raises ``RecordError`` while it is read."""

    def __init__(self, rows: Iterable[tuple[int | None, Mapping[str, Any]]], source: str) -> None:
        self.rows = 0
        """Rows of PRMBench so far."""
        self.shared = 0
        """Originals left out, since an earlier row had them."""
        self._rows, self._source = rows, source
        self._originals: set[tuple[Any, ...]] = set()

    def __iter__(self) -> Iterator[Row]:
        for line, record in self._rows:
            if is_row(record):
                yield from self._two(record, line)
            else:
                yield Row(line, record)

    def _two(self, record: Mapping[str, Any], line: int | None) -> Iterator[Row]:
        row = _Reader(record, self._source, line)
        self.rows += 1
        yield Row(line, row.modified())
        original = row.original()
        content = (original["problem"], *original["steps"])
        if content in self._originals:
            self.shared += 1
            return
        self._originals.add(content)
        yield Row(line, original)

    def notes(self) -> Iterator[str]:
        """What was done, in a sentence."""
        if self.rows:
            also = f", {self.shared} times an original that an earlier row had" if self.shared else ""
            yield (
                f"{self.rows} row{'' if self.rows == 1 else 's'} of PRMBench: each became its modified and its "
                f"original solution, steps counted from 0{also}"
            )


def is_row(record: Mapping[str, Any]) -> bool:
    """Whether a record is a row of PRMBench, and no solution."""
    return "steps" not in record and ("modified_process" in record or "original_process" in record)


class _Reader:
    """Reads the fields of one row; every complaint names file, line and field."""

    def __init__(self, row: Mapping[str, Any], source: str, line: int | None) -> None:
        self._row, self._source, self._line = row, source, line
        if missing := sorted(ROW - row.keys()):
            raise self._fail(missing[0], "is missing, and the other fields are those of a row of PRMBench; give it too")
        self._category = self._text("classification")
        # The released file has the category in its ids, the file of PRMBench's own programs has not.
        self._problem = self._text("idx").removeprefix(f"{self._category}_")

    def modified(self) -> dict[str, Any]:
        steps = self._texts("modified_process")
        wrong = self._indices("error_steps")
        known = [step for step in wrong if step < len(steps)]
        record = self._solution("modified", self._text("modified_question"), steps)
        if known or not wrong:
            record["label"] = min(known, default=-1)
        record |= {"classification": self._category, "error_steps": wrong}
        if self._row.get("modified_steps") is not None:
            record["modified_steps"] = self._indices("modified_steps")
        more = self._row.keys() - ROW - record.keys()
        return record | {name: self._row[name] for name in self._row if name in more}

    def original(self) -> dict[str, Any]:
        record = self._solution("original", self._text("original_question"), self._texts("original_process"))
        return record | {"label": -1, "classification": ORIGINAL, "error_steps": []}

    def _solution(self, which: str, problem: str, steps: list[str]) -> dict[str, Any]:
        id = f"{self._category}-{self._problem}-{which}"
        return {"id": id, "problem_id": self._problem, "problem": problem, "steps": steps}

    def _text(self, field: str) -> str:
        value = self._row[field]
        if not isinstance(value, str) or not value.strip():
            kind = "empty" if isinstance(value, str) else f"a {json_name(value)}"
            raise self._fail(field, f"is {kind}; a row of PRMBench has a text there")
        return value

    def _texts(self, field: str) -> list[str]:
        value = self._row[field]
        if not isinstance(value, list) or not value:
            raise self._fail(field, "must be a list of strings, one per step")
        for number, step in enumerate(value, start=1):
            if not isinstance(step, str) or not step.strip():
                raise self._fail(field, f"step {number} is empty or no string; every step must have a text")
        return list(value)

    def _indices(self, field: str) -> list[int]:
        """Steps that are counted from 1, counted from 0."""
        value = self._row[field]
        if not isinstance(value, list) or not all(type(step) is int for step in value):
            raise self._fail(field, "must be a list of whole numbers")
        if any(step < 1 for step in value):
            raise self._fail(field, f"holds {min(value)}; PRMBench counts steps from 1")
        return [step - 1 for step in value]

    def _fail(self, field: str, message: str) -> RecordError:
        return RecordError(message, source=self._source, line=self._line, field=field)
