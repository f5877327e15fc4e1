"""Problems to be searched, with or without reference answers: those that a rollout reads, and files without answers.

A record with ``steps`` is a solution: its problem is taken, each problem once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genprm.errors import InputError, RecordError
from genprm.records import content_id
from genprm.records.inputs import HUB, STDIN
from genprm.records.lines import parse_lines, read_bytes
from genprm.rollout.problems import DATA_SETS, Given, problem_from_dict, read_given
from genprm.types import Problem


def read_problems(spec: str, *, limit: int | None = None) -> Given:
    """The first ``limit`` problems of a source. A problem without reference has the answer ``""``.

    Raises ``RecordError`` or ``InputError``.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    if spec.startswith(HUB) or (spec != "-" and not Path(spec).exists()):
        given = read_given(spec, limit=None if spec.partition(":")[0] not in DATA_SETS else limit)
        return replace(given, problems=given.problems[:limit], solutions=None)
    source, data = (STDIN, sys.stdin.buffer.read()) if spec == "-" else (spec, read_bytes(Path(spec)))
    found: dict[str, Problem] = {}
    lines: dict[str, int] = {}
    for line, row in parse_lines(data, source):
        problem = _problem(row, source, line)
        if problem.id in found and (row.get("steps") is None or found[problem.id] != problem):
            raise RecordError(
                f"'{problem.id}' is that of another problem, or of this one once more, in line {lines[problem.id]}; "
                "give every problem its own id", source=source, line=line, field=_id_field(row),
            )  # fmt: skip
        if problem.id not in found and len(found) == limit:
            break
        lines.setdefault(problem.id, line)
        found.setdefault(problem.id, problem)
    if not found:
        raise RecordError("is empty; give at least one record", source=source)
    return Given(tuple(found.values()), None, (), source, lines)


def _problem(row: Mapping[str, Any], source: str, line: int) -> Problem:
    known = row
    if row.get("steps") is not None:
        known = {"id": row.get("problem_id"), "problem": row.get("problem"), "answer": row.get("answer")}
    answered = known.get("answer") is not None or known.get("solution") is not None
    problem = problem_from_dict(known if answered else {**known, "answer": "unknown"}, source=source, line=line)
    if not answered:
        problem = replace(problem, answer="")
    return problem if problem.id else replace(problem, id=content_id(problem.problem, ()))


def _id_field(row: Mapping[str, Any]) -> str:
    return "id" if row.get("steps") is None else "problem_id"
