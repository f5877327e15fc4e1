"""Labels that people gave: records of PRM800K and plain annotations, as first-error indices.

A line of a file of annotations is one of::

    {"id": "s1", "label": 2}                          the index itself, -1 for no error
    {"id": "s1", "ratings": [1, 0, -1]}               a rating per step
    {"question": {...}, "label": {"steps": [...]}}    a record of openai/prm800k, known by the id of its content

Ratings are those of PRM800K: 1 (right), 0 (right, but no progress) and -1 (wrong); 1 and 0 are positive, as in
ProcessBench's baselines. A step without rating is not known, and nothing behind it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genprm.errors import RecordError
from genprm.records import content_id, read_lines
from genprm.types import Solution

RATINGS = (1, 0, -1)


def first_error_of_ratings(ratings: Sequence[int | None]) -> int | None:
    """Index of the first rating -1, or -1 if all are positive; None if one is missing before that."""
    for index, rating in enumerate(ratings):
        if rating is None:
            return None
        if rating == -1:
            return index
    return -1


def solution_from_prm800k(record: Mapping[str, Any], *, source: str = "record", line: int | None = None) -> Solution:
    """The solution that people followed in a record of PRM800K, with its ``label``; None where they did not finish.

    Each step is the chosen completion; where none was chosen the step that a person wrote (positive), else the
    completion that the model's own solution goes on with, which is the first (phase 2 ends so at an error). Raises
    ``RecordError``.
    """
    reader = _Prm800k(record, source, line)
    steps, ratings = reader.trajectory()
    index = first_error_of_ratings(ratings)
    if index == -1 and reader.label.get("finish_reason") != "solution":
        index = None  # given up, or a bad problem: what follows was never looked at
    problem = reader.text(reader.question, "question.problem", "problem")
    answer = reader.question.get("ground_truth_answer")
    return Solution(
        problem=problem,
        steps=steps,
        id=content_id(problem, steps),
        generator="prm800k",
        answer=answer if isinstance(answer, str) else None,
        label=index,
        extra={"ratings": list(ratings)},
    )


def read_annotations(path: Path) -> dict[str, int | None]:
    """First-error index by solution id; None where the annotation does not say. Of an id given twice the last stands.

    Raises ``RecordError`` for a line of none of the three kinds.
    """
    found: dict[str, int | None] = {}
    for line, record in read_lines(path):
        if isinstance(record.get("question"), dict):
            solution = solution_from_prm800k(record, source=str(path), line=line)
            found[solution.id] = solution.label
        else:
            found.update([_annotation(record, str(path), line)])
    return found


def with_label(solution: Solution, annotations: Mapping[str, int | None]) -> Solution:
    """The solution with the label that people gave to its id, unchanged if there is none."""
    index = annotations.get(solution.id)
    return solution if index is None else replace(solution, label=index)


def _annotation(record: Mapping[str, Any], source: str, line: int) -> tuple[str, int | None]:
    name, index, ratings = record.get("id"), record.get("label"), record.get("ratings")
    if not isinstance(name, str) or not name:
        raise RecordError("is missing; give the id of the solution", source=source, line=line, field="id")
    if isinstance(index, int) and not isinstance(index, bool) and index >= -1:
        return name, index
    if isinstance(ratings, list) and all(_is_rating(rating) for rating in ratings):
        return name, first_error_of_ratings(ratings)
    raise RecordError(
        "needs 'label' (an index from 0, or -1) or 'ratings' (a list of 1, 0, -1 or null)", source=source, line=line
    )


def _is_rating(value: object) -> bool:
    return value is None or (not isinstance(value, bool) and value in RATINGS)


class _Prm800k:
    """Reads one record; every complaint names file, line and field."""

    def __init__(self, record: Mapping[str, Any], source: str, line: int | None) -> None:
        self.source = source
        self.line = line
        self.question: Mapping[str, Any] = self.object(record, "question", "question")
        self.label: Mapping[str, Any] = self.object(record, "label", "label")

    def trajectory(self) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
        """The steps that were followed, and their ratings."""
        steps = self.label.get("steps")
        if not isinstance(steps, list) or not steps:
            raise self.fail("label.steps", "must be a list with at least one step")
        pairs = [self.step(step) for step in steps]
        return tuple(text for text, _ in pairs), tuple(rating for _, rating in pairs)

    def step(self, step: object) -> tuple[str, int | None]:
        if not isinstance(step, dict):
            raise self.fail("label.steps", "must be a list of objects")
        chosen, written, completions = (step.get(k) for k in ("chosen_completion", "human_completion", "completions"))
        if chosen is None and written is not None:
            return self.written(written), 1
        index = 0 if chosen is None else chosen
        if not isinstance(completions, list) or not isinstance(index, int) or not 0 <= index < len(completions):
            raise self.fail("chosen_completion", f"is {chosen!r}, which is none of the step's completions")
        completion = self.object({"completions": completions[index]}, "completions", "completions")
        rating = completion.get("rating")
        if not _is_rating(rating):
            raise self.fail("rating", f"is {rating!r}; it must be 1, 0, -1 or null")
        return self.text(completion, "completions.text", "text"), rating

    def written(self, value: object) -> str:
        """A person's own step: its text, bare or in an object."""
        return (
            value
            if isinstance(value, str)
            else self.text(
                self.object({"human_completion": value}, "human_completion", "human_completion"),
                "human_completion",
                "text",
            )
        )

    def object(self, record: Mapping[str, Any], key: str, field: str) -> Mapping[str, Any]:
        value = record.get(key)
        if not isinstance(value, dict):
            raise self.fail(field, "must be an object, as in openai/prm800k")
        return value

    def text(self, record: Mapping[str, Any], field: str, key: str) -> str:
        value = record.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(field, "must be a text that is not empty")
        return value

    def fail(self, field: str, message: str) -> RecordError:
        return RecordError(message, source=self.source, line=self.line, field=field)
