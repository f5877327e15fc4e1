"""Published numbers, to be printed beside ours. They ship as data: ``reference.yaml``, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genprm.errors import InputError


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a published table, in per cent."""

    model: str
    figures: Mapping[str, float]
    """By column of the table."""
    source: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of published numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Published, ...]


def published(bench: str) -> tuple[Table, ...]:
    """The tables of a benchmark. Raises ``InputError`` for one without."""
    text = Path(__file__).with_name("reference.yaml").read_text(encoding="utf-8")
    tables: dict[str, list[dict[str, Any]]] = yaml.safe_load(text)
    if bench not in tables:
        raise InputError(f"there are no published numbers of '{bench}'; there are of {', '.join(tables)}")
    return tuple(_table(one) for one in tables[bench])


def _table(record: dict[str, Any]) -> Table:
    columns = tuple(record["columns"])
    sources: dict[str, str] = record["sources"]
    rows = tuple(
        Published(
            model,
            {name: float(value) for name, value in zip(columns, values, strict=True) if value is not None},
            sources[source],
        )
        for source, of in record["rows"].items()
        for model, values in of.items()
    )
    return Table(record["title"], columns, rows)
