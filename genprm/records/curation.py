"""Rollouts (lines of ``rollouts.jsonl``) and labels (lines of ``labels.jsonl``) as dicts and back.

Stages meet only through these files, so the fields are exactly those of the design.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genprm.errors import RecordError
from genprm.records.lines import json_name, read_lines
from genprm.types import Labels, Rollout


def rollout_to_dict(rollout: Rollout) -> dict[str, Any]:
    """The record of a rollout; ``key`` first."""
    return asdict(rollout)


def rollout_from_dict(record: Mapping[str, Any], *, source: str = "rollout", line: int | None = None) -> Rollout:
    """The rollout of a record. Raises ``RecordError`` for a field that is missing, of another kind or impossible."""
    reader = _Fields(record, source, line)
    found = Rollout(
        key=reader.take("key", str, default=""),
        id=reader.take("id", str),
        problem_id=reader.take("problem_id", str),
        step=reader.count("step", least=-1),
        policy=reader.take("policy", str),
        k=reader.count("k"),
        correct=reader.count("correct"),
        total=reader.count("total"),
        invalid=reader.count("invalid", default=0),
        seed=reader.take("seed", int, default=0),
        rule=reader.take("rule", str, type(None)),
        tokens=reader.count("tokens", default=0),
        shared=reader.take("shared", str, type(None)),
    )
    if found.correct + found.invalid > found.total:
        raise reader.fail(
            "total", f"is {found.total}, but {found.correct} are correct and {found.invalid} invalid; mend the counts"
        )
    return found


def read_rollouts(path: Path) -> Iterator[Rollout]:
    """The rollouts of a file; of a key that was written twice, both. Raises ``RecordError``."""
    for line, record in read_lines(path):
        yield rollout_from_dict(record, source=str(path), line=line)


def labels_to_dict(labels: Labels) -> dict[str, Any]:
    """The record of a solution's labels."""
    return {
        "id": labels.id,
        "rule": labels.rule,
        "parameters": dict(labels.parameters),
        "values": list(labels.values),
        "counts": [list(pair) for pair in labels.counts],
    }


def labels_from_dict(record: Mapping[str, Any], *, source: str = "labels", line: int | None = None) -> Labels:
    """The labels of a record. Raises ``RecordError``."""
    reader = _Fields(record, source, line)
    values = reader.take("values", list)
    if not all(value is None or _is_number(value) for value in values):
        raise reader.fail("values", "must be a list of numbers or null, one per step")
    return Labels(
        id=reader.take("id", str),
        rule=reader.take("rule", str),
        parameters=reader.take("parameters", dict, default={}),
        values=tuple(None if value is None else float(value) for value in values),
        counts=tuple((int(correct), int(total)) for correct, total in reader.take("counts", list, default=[])),
    )


def read_labels(path: Path) -> Iterator[Labels]:
    """The labels of a file. Raises ``RecordError``."""
    for line, record in read_lines(path):
        yield labels_from_dict(record, source=str(path), line=line)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Fields:
    """Reads the fields of one record; every complaint names file, line and field."""

    def __init__(self, record: Mapping[str, Any], source: str, line: int | None) -> None:
        self._record = record
        self._source = source
        self._line = line

    def take(self, field: str, *kinds: type, default: Any = None) -> Any:
        value = self._record.get(field)
        if value is None and default is not None:
            return default
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise self.fail(field, f"is a {json_name(value)}; it must be {wanted}")
        return value

    def count(self, field: str, *, least: int = 0, default: int | None = None) -> int:
        value: int = self.take(field, int, default=default)
        if value < least:
            raise self.fail(field, f"is {value}; it must be at least {least}")
        return value

    def fail(self, field: str, message: str) -> RecordError:
        return RecordError(message, source=self._source, line=self._line, field=field)
