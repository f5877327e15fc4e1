"""Where solutions come from: a JSONL file, ``hub:name[:config]:split`` or ``-`` (standard input).

Records that come without an id get one made from their content, so the same record has the same id in every run. A row
of PRMBench is read as the two solutions that it holds (``prmbench``).
What was done to a record beyond reading it is said in ``Loaded.notes``, one sentence each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genprm.errors import InputError, RecordError
from genprm.records.hub import read_hub
from genprm.records.lines import parse_lines, read_bytes
from genprm.records.prmbench import Expanded
from genprm.records.solutions import content_id, solution_from_dict, split_solution
from genprm.types import Solution

HUB = "hub:"
STDIN = "<stdin>"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Solutions in the order of their source, with what was done to read them."""

    solutions: tuple[Solution, ...]
    notes: tuple[str, ...] = ()
    source: str = "records"
    """Name of the source, as errors show it."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Line of each id (from 1), where the source has lines."""


def read_solutions(spec: str, *, limit: int | None = None) -> Loaded:
    """The solutions of a source, the first ``limit`` of them. Raises ``RecordError`` or ``InputError``."""
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    if spec.startswith(HUB):
        rows, notes, source = read_hub(spec.removeprefix(HUB), limit)
        return load_records(((None, row) for row in rows), source, limit, notes)
    source, data = (STDIN, sys.stdin.buffer.read()) if spec == "-" else (spec, read_bytes(Path(spec)))
    return load_records(parse_lines(data, source), source, limit)


def load_records(
    rows: Iterable[tuple[int | None, Mapping[str, Any]]], source: str, limit: int | None, notes: tuple[str, ...] = (),
    *, judged: bool = False,
) -> Loaded:  # fmt: skip
    """The solutions of (line, record) pairs, the first ``limit`` of them. Raises ``RecordError``.

    ``judged``: the records are results; see ``solution_from_dict``.
    """
    solutions: list[Solution] = []
    lines: dict[str, int | None] = {}
    made: list[str] = []
    splits: dict[str, int] = {}
    expanded = Expanded(rows, source)
    for line, row in expanded:
        solution = solution_from_dict(row, source=source, line=line, judged=judged)
        if row.get("steps") is None:
            how = split_solution(row["solution"])[1]
            splits[how] = splits.get(how, 0) + 1
        if not solution.id:
            solution = replace(solution, id=_fresh_id(solution, lines))
            made.append(solution.id)
        elif solution.id in lines:
            first = lines[solution.id]
            where = "already used" if first is None else f"already used in line {first}"
            raise RecordError(f"'{solution.id}' is {where}; ids must be unique", source=source, line=line, field="id")
        lines[solution.id] = line
        solutions.append(solution)
        if limit is not None and len(solutions) == limit:
            break
    if not solutions:
        raise RecordError("is empty; give at least one record", source=source)
    said = (*notes, *expanded.notes(), *_notes(splits, made))
    return Loaded(tuple(solutions), said, source, {id: line for id, line in lines.items() if line is not None})


def _fresh_id(solution: Solution, taken: Mapping[str, object]) -> str:
    """The content's id; a record that repeats another one's content is counted on, so that both stay."""
    base = content_id(solution.problem, solution.steps)
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}-{count}"
    return name


def _notes(splits: Mapping[str, int], made: list[str]) -> Iterable[str]:
    for how, count in splits.items():
        yield f"{_records(count)} had a 'solution' text without steps: split {how}"
    if made:
        yield f"{_records(len(made))} had no id: made from the content (the first is {made[0]})"


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
