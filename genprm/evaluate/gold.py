"""Labels and reference answers from a file of their own, in place of those that results carry.

A line of the file names what it speaks of and says at least one thing about it:

    {"id": "gsm8k-12", "label": 3}             the first wrong step of a solution, -1 for none
    {"id": "gsm8k-12", "error_steps": [3, 5]}  all its wrong steps, from 0, for PRMBench; its label is the first of them
    {"id": "a-7", "answer": "18"}              the reference answer; also "final_answer_correct": true
    {"problem_id": "a", "answer": "18"}        the same of all solutions of a problem

What a line does not say stays as it was, but for ``final_answer_correct``: with another reference answer it is found
anew. Other fields of a line are not looked at, so a file of solution records, of annotations made in a report or of
PRMBench's own rows serves as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from genprm.errors import InputError, RecordError
from genprm.evaluate.scored import Results, Scored, read_results
from genprm.records.lines import json_name, read_lines
from genprm.records.prmbench import Expanded
from genprm.types import Solution

SAID = ("label", "error_steps", "answer", "final_answer_correct")


@dataclass(frozen=True, slots=True)
class GoldUse:
    """What a file of labels and answers was used for."""

    source: str
    replaced: int
    """Solutions that it speaks of."""
    unknown: int
    """Its lines that speak of no solution or problem of the results."""
    missing: int
    """Solutions that it does not speak of: they keep what they had."""


class Truth(NamedTuple):
    """What one line says; ``None`` where it does not."""

    line: int | None
    label: int | None
    error_steps: tuple[int, ...] | None
    answer: str | None
    right: bool | None


def read_all(paths: Sequence[Path], gold: Path | None = None) -> tuple[list[Results], GoldUse | None]:
    """The results of run directories or files, with what ``gold`` says of them. Raises ``InputError``."""
    results = [read_results(path) for path in paths]
    if gold is None:
        return results, None
    by_id, by_problem = _read(gold)
    told = [tuple(_told(one, by_id, by_problem, gold) for one in result.scored) for result in results]
    every = [one.solution for result in results for one in result.scored]
    replaced = sum(one.id in by_id or one.problem_id in by_problem for one in every)
    if not replaced:
        raise InputError(
            f"{gold} speaks of no solution of {', '.join(map(str, paths))}; give the file with the labels of these ids"
        )
    unknown = len(by_id.keys() - {one.id for one in every}) + len(by_problem.keys() - {one.problem_id for one in every})
    use = GoldUse(str(gold), replaced, unknown, len(every) - replaced)
    return [replace(result, scored=scored) for result, scored in zip(results, told, strict=True)], use


def _told(one: Scored, by_id: Mapping[str, Truth], by_problem: Mapping[str, Truth], gold: Path) -> Scored:
    solution = one.solution
    for truth in (by_problem.get(solution.problem_id or ""), by_id.get(solution.id)):
        if truth is not None:
            solution = _changed(solution, truth, gold)
    return replace(one, solution=solution)


def _changed(solution: Solution, truth: Truth, gold: Path) -> Solution:
    if truth.label is not None and truth.label >= len(solution.steps):
        raise RecordError(
            f"is {truth.label}, but the solution '{solution.id}' has {len(solution.steps)} steps; "
            f"use 0 to {len(solution.steps) - 1}, or -1 for none",
            source=str(gold), line=truth.line, field="label",
        )  # fmt: skip
    changes: dict[str, Any] = {}
    if truth.label is not None:
        # Wrong steps that belong to the old label would contradict the new one.
        kept = {name: value for name, value in solution.extra.items() if name != "error_steps"}
        wrong = {} if truth.error_steps is None else {"error_steps": list(truth.error_steps)}
        changes |= {"label": truth.label, "extra": kept | wrong}
    if truth.answer not in (None, solution.answer):
        changes |= {"answer": truth.answer, "final_answer_correct": None}
    if truth.right is not None:
        changes["final_answer_correct"] = truth.right
    return replace(solution, **changes)


def _read(path: Path) -> tuple[dict[str, Truth], dict[str, Truth]]:
    """What the file says, by id and by problem."""
    found: tuple[dict[str, Truth], dict[str, Truth]] = ({}, {})
    for line, record in Expanded(read_lines(path), str(path)):
        reader = _Reader(record, path, line)
        field = "id" if record.get("id") is not None else "problem_id"
        kept = found[0] if field == "id" else found[1]
        if (name := reader.text(field)) is None:
            raise reader.fail("id", "is missing; name the solution, or with 'problem_id' all solutions of a problem")
        if name in kept:
            raise reader.fail(field, f"'{name}' is already used in line {kept[name].line}; say all of it in one line")
        kept[name] = reader.truth(field)
    if not found[0] and not found[1]:
        raise RecordError("is empty; give at least one line", source=str(path))
    return found


class _Reader:
    """Reads the fields of one line; every complaint names file, line and field."""

    def __init__(self, record: Mapping[str, Any], path: Path, line: int | None) -> None:
        self._record, self._path, self._line = record, path, line

    def fail(self, field: str, message: str) -> RecordError:
        return RecordError(message, source=str(self._path), line=self._line, field=field)

    def truth(self, by: str) -> Truth:
        said = [field for field in SAID if self._record.get(field) is not None]
        if not said:
            raise self.fail("label", f"is missing; a line holds one of {', '.join(SAID)}: give it, or drop the line")
        if by == "problem_id" and said != ["answer"]:
            other = next(field for field in said if field != "answer")
            raise self.fail(other, "is of one solution, and the line names a problem; give the solution's 'id'")
        label, wrong = self._label(), self._error_steps()
        if wrong is not None:
            first = min(wrong, default=-1)
            if label not in (None, first):
                raise self.fail("error_steps", f"begins with {first}, but 'label' is {label}; mend one")
            label = first
        right = self._record.get("final_answer_correct")
        if right is not None and not isinstance(right, bool):
            raise self.fail("final_answer_correct", f"is a {json_name(right)}; it must be true or false")
        return Truth(self._line, label, wrong, self.text("answer"), right)

    def text(self, field: str) -> str | None:
        """A string; a number is taken as its text, as in solution records."""
        value = self._record.get(field)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        kind = "empty" if isinstance(value, str) else f"a {json_name(value)}"
        raise self.fail(field, f"is {kind}; it must be a string")

    def _label(self) -> int | None:
        value = self._record.get("label")
        if value is None or (type(value) is int and value >= -1):
            return value
        raise self.fail("label", f"is {value!r}; it must be the index of the first wrong step, or -1 for none")

    def _error_steps(self) -> tuple[int, ...] | None:
        value = self._record.get("error_steps")
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(step) is int and step >= 0 for step in value):
            raise self.fail("error_steps", "must be a list of the indices of all wrong steps, from 0")
        return tuple(value)


def sentences(use: GoldUse) -> Iterator[str]:
    """What was done, for a reader."""
    every = use.replaced + use.missing
    yield f"{use.source}: labels and answers are taken from it for {use.replaced} of {every} solutions"
    if use.missing:
        yield f"{use.missing} missing in it: they keep what they had"
    if use.unknown:
        yield f"{use.unknown} unknown: in it, and in no input"
