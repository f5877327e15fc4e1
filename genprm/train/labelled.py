"""Solutions with a value for every step, as discriminative training takes them: from files, or from the lab.

A file's row is one of

    {"text": "... ки\\n... ки\\n", "value": [0.9, 0.2]}                  step-tags, as ``genprm curate`` exports it
    {"problem", "text": "...<extra_0>...<extra_0>", "labels": [1, 0]}   extra-tokens, the same
    {"problem", "steps": [...], "values": [0.9, null]}                  null: nothing is known of the step
    {"problem", "steps": [...], "label": 1}                             first wrong step, -1 for none

The last two may say ``final_answer_correct``, which an outcome model is trained on; else that is the last value.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from genprm.curate.consensus import implied_labels
from genprm.curate.released import ROWS
from genprm.errors import InputError, RecordError
from genprm.records import read_lines
from genprm.records.hub import load_rows
from genprm.stepformats import QWEN, Marked, StepFormat, StepTags, TextTokenizer


class Example(Protocol):
    """One solution."""

    @property
    def values(self) -> Sequence[float | None]:
        """One a step, in [0, 1]; ``None`` where nothing is known."""

    @property
    def outcome(self) -> float | None:
        """Of the whole solution."""

    def marked(self, format: StepFormat, tokenizer: TextTokenizer) -> Marked:
        """As a model reads it."""

    def texts(self) -> Iterable[str]:
        """What it says, for a tokenizer."""


class Examples(Protocol):
    """A set of solutions that goes on without end; ``example(i)`` depends on i alone."""

    @property
    def size(self) -> int | None:
        """How many there are before they come again; ``None`` where they do not."""

    def example(self, index: int) -> Example: ...


@dataclass(frozen=True, slots=True)
class Steps:
    """A solution in steps."""

    problem: str
    steps: tuple[str, ...]
    values: tuple[float | None, ...]
    outcome: float | None = None

    def marked(self, format: StepFormat, tokenizer: TextTokenizer) -> Marked:
        return format.encode(self.problem, self.steps, tokenizer)

    def texts(self) -> Iterable[str]:
        return (self.problem, *self.steps)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A solution as one text with step tags; where its problem ends is not known, and need not be."""

    text: str
    values: tuple[float | None, ...]

    @property
    def outcome(self) -> float | None:
        return self.values[-1]

    def marked(self, format: StepFormat, tokenizer: TextTokenizer) -> Marked:
        if not isinstance(format, StepTags):
            raise InputError(f"rows of tagged text cannot take the format '{format.name}'; give problem and steps")
        return format.encode_text(self.text, tokenizer)

    def texts(self) -> Iterable[str]:
        return (self.text,)


@dataclass(frozen=True, slots=True)
class FileExamples:
    """The rows of files, in another order at every pass."""

    rows: tuple[Example, ...]
    seed: int

    @property
    def size(self) -> int:
        return len(self.rows)

    def example(self, index: int) -> Example:
        epoch, place = divmod(index, len(self.rows))
        return self.rows[_order(len(self.rows), self.seed, epoch)[place]]


@dataclass(frozen=True, slots=True)
class LabExamples:
    """A corpus of the lab."""

    corpus: Any
    size: None = None

    def example(self, index: int) -> Example:
        made = self.corpus.example(index)
        return Steps(made.problem.text, made.steps, made.values, made.outcome)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a tokenizer is trained on."""

    examples: Examples

    def texts(self, conversations: int) -> Iterator[str]:
        count = conversations if self.examples.size is None else min(conversations, self.examples.size)
        for index in range(count):
            yield from self.examples.example(index).texts()


def read_examples(places: Sequence[str], seed: int) -> FileExamples:
    """The rows of folders, files and hub names. Raises ``RecordError``, and ``InputError`` where there are none."""
    rows = tuple(example for place in places for example in _of_place(place))
    if not rows:
        raise InputError(f"{', '.join(places)} holds no rows; give rows of text and value, or of problem and steps")
    return FileExamples(rows, seed)


def require_outcomes(examples: FileExamples, source: str) -> None:
    """Raises ``InputError`` for the first row that does not say whether its answer is right."""
    for number, example in enumerate(examples.rows, start=1):
        if example.outcome is None:
            raise InputError(
                f"{source}: row {number} does not say how its solution ends, which an outcome model is trained on; "
                "give final_answer_correct, or a value of the last step"
            )


def _of_place(place: str) -> Iterator[Example]:
    path = Path(place)
    path = path / ROWS if (path / ROWS).exists() else path
    if path.is_file() or path.suffix in (".jsonl", ".json"):
        for line, record in read_lines(path):
            yield _example(record, str(path), line)
    elif path.is_dir():
        raise InputError(f"{path} has no {ROWS}; give a folder below a curation's folder export, or a JSONL file")
    else:
        for number, row in enumerate(load_rows(place, None, "train"), start=1):
            yield _example(row, place, number)


def _example(record: Mapping[str, Any], source: str, line: int) -> Example:
    def fail(message: str, field: str) -> RecordError:
        return RecordError(message, source=source, line=line, field=field)

    text, problem = record.get("text"), record.get("problem")
    if isinstance(text, str) and problem is None:
        values = _values(record, "value", text.count(StepTags.TAG), fail)
        return Tagged(text, values)
    if not isinstance(problem, str):
        raise fail("is missing; a row has problem and steps, or text and value", "problem")
    if isinstance(text, str):
        steps = text.split(QWEN.TAG)
        if steps.pop().strip():
            raise fail(f"does not end with {QWEN.TAG}", "text")
        return Steps(problem, tuple(steps), _values(record, "labels", len(steps), fail))
    given = record.get("steps")
    if not isinstance(given, list) or not given or not all(isinstance(step, str) for step in given):
        raise fail("must be a list of texts, at least one", "steps")
    known = _values(record, "values", len(given), fail) if "values" in record else _implied(record, len(given), fail)
    right = record.get("final_answer_correct")
    if not isinstance(right, bool | None):
        raise fail(f"is {right!r}; it is true, false or null", "final_answer_correct")
    return Steps(problem, tuple(given), known, known[-1] if right is None else float(right))


def _values(record: Mapping[str, Any], field: str, steps: int, fail: Any) -> tuple[float | None, ...]:
    given = record.get(field)
    if not isinstance(given, list) or not given:
        raise fail("must be a list of numbers, one for each step", field)
    for value in given:
        number = isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1
        if value is not None and not number:
            raise fail(f"holds {value!r}; a step's value is between 0 and 1, or null", field)
    if len(given) != steps:
        raise fail(f"has {len(given)} values for {steps} steps; give one for each", field)
    return tuple(None if value is None else float(value) for value in given)


def _implied(record: Mapping[str, Any], steps: int, fail: Any) -> tuple[float, ...]:
    label = record.get("label")
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < steps:
        raise fail(f"is {label!r}; give values, or the index of the first wrong step (-1 for none)", "label")
    return tuple(map(float, implied_labels(label, steps)))


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"pass {seed} {epoch}").shuffle(order)
    return tuple(order)
