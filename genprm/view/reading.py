"""The files of a run directory as the view reads them: finished or not, and never trusted.

A file that is not there yet has no records. A killed run leaves half a line at the end of a file; what follows the
last newline was never finished and is left out.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from genprm.errors import InputError, RecordError

_VOTE = re.compile(rb'\{"key": "[^"\\]*", "id": "([^"\\]*)", "vote": (\d+), ')
"""How a line of votes.jsonl begins: enough to place it without parsing the rest."""

_DIGITS = 18
"""Of a number that fits 64 bits."""


class Line(NamedTuple):
    """A record and where it stands."""

    number: int
    record: dict[str, Any]


def records(run_dir: Path, name: str, **fields: type | UnionType) -> Iterator[Line]:
    """The records of a file, if there is one. ``fields``: what each record must hold; a field that may be null may also
    be absent. Raises ``RecordError`` for a record that holds something else."""
    path = run_dir / name
    if not path.exists():
        return
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            if raw.endswith(b"\n") and raw.strip():
                yield _line(raw, path, number, fields)


def opened(path: Path) -> IO[bytes]:
    """The file, opened. Raises ``RecordError``."""
    try:
        return path.open("rb")
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror}); check its permissions", source=str(path)) from error


def _line(raw: bytes, path: Path, number: int, fields: Mapping[str, type | UnionType]) -> Line:
    from genprm.records.lines import parse_line

    record = parse_line(raw, str(path), number)
    for field, kind in fields.items():
        if not isinstance(record.get(field), kind):
            message = "is not what a run writes; mend the line"
            raise RecordError(message, source=str(path), line=number, field=field)
    return Line(number, record)


class Index:
    """Where the finished lines of a file stand, by an id and a part of it: numbers in memory, text on disk.

    ``by`` and ``part`` name the fields; of lines that agree in both the last stands. Without ``part`` all lines of an
    id stand, in the order of the file. A file that is not there has none. Raises ``RecordError``, also while reading.
    """

    def __init__(self, run_dir: Path, name: str, by: str = "id", part: str = "", **fields: type | UnionType) -> None:
        self.name = name
        self._path = run_dir / name
        self._by, self._part, self._fields = by, part, {by: str, **({part: int} if part else {}), **fields}
        self._ids: dict[str, int] = {}
        self._file = opened(self._path) if self._path.exists() else None
        try:
            self._rows = self._scan()
        except RecordError:
            self.close()
            raise

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def ids(self) -> Iterator[str]:
        """In the order of the file."""
        return iter(self._ids)

    def of(self, name: str) -> Iterator[Line]:
        """The lines of an id: by part, or as they stand."""
        place = self._ids.get(name)
        if place is None or self._file is None:
            return
        first, last = np.searchsorted(self._rows[0], [place, place + 1])
        for offset, number in self._rows[2:, first:last].T.tolist():
            self._file.seek(offset)
            yield _line(self._file.readline(), self._path, number, self._fields)

    def last(self, name: str) -> Line | None:
        """The last line of an id."""
        return next(iter(list(self.of(name))[-1:]), None)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _scan(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(4, lines): id, part, offset and number of each line that stands, sorted."""
        columns = array("q")
        offset = 0
        for number, raw in enumerate(self._file or (), start=1):
            if raw.endswith(b"\n") and raw.strip():
                name, part = self._place(raw, number)
                columns.extend((self._ids.setdefault(name, len(self._ids)), part, offset, number))
            offset += len(raw)
        rows = np.frombuffer(columns, dtype=np.int64).reshape(-1, 4).T
        rows = rows[:, np.lexsort(rows[[3, 1, 0]])]
        last = np.ones(rows.shape[1], dtype=bool)
        last[:-1] = (rows[0, 1:] != rows[0, :-1]) | (rows[1, 1:] != rows[1, :-1])
        return rows[:, last]

    def _place(self, raw: bytes, number: int) -> tuple[str, int]:
        head = _VOTE.match(raw) if self._part == "vote" else None
        if head and len(head[2]) <= _DIGITS:
            return head[1].decode(errors="replace"), int(head[2])
        record = _line(raw, self._path, number, self._fields).record
        part = record[self._part] if self._part else number
        if not 0 <= part < 10**_DIGITS:
            raise RecordError(f"is {part}; mend the line", source=str(self._path), line=number, field=self._part)
        return record[self._by], part


class Open(Protocol):
    """Gives the index of a file, made once."""

    def __call__(self, run_dir: Path, name: str, **fields: Any) -> Index: ...


@contextmanager
def indices() -> Iterator[Open]:
    """Indices that are made when they are asked for, and closed behind the block."""
    made: dict[str, Index] = {}

    def open_index(run_dir: Path, name: str, **fields: Any) -> Index:
        if name not in made:
            made[name] = Index(run_dir, name, **fields)
        return made[name]

    try:
        yield open_index
    finally:
        for one in made.values():
            one.close()


def needed(run_dir: Path, *names: str) -> str:
    """The first of the files that is there. Raises ``InputError`` where none is."""
    for name in names:
        if (run_dir / name).exists():
            return name
    if not run_dir.is_dir():
        raise InputError(f"there is no folder {run_dir}; give the folder of a run")
    raise InputError(f"{run_dir} is not a run directory: it holds no {' or '.join(names)}; give the folder of a run")


def config(run_dir: Path) -> dict[str, Any]:
    """The verb and every setting of a run by its dotted key; nothing without a config.yaml. Raises ``InputError``."""
    from genprm.runs.configuration import Configuration, flatten

    path = run_dir / "config.yaml"
    if not path.exists():
        return {}
    found = Configuration.read(path)
    return {**dict(flatten(found.identity)), **dict(flatten(found.extent)), "verb": found.verb}


def metrics(run_dir: Path) -> Mapping[str, Any]:
    """What metrics.json holds; nothing before a run wrote it. Raises ``InputError``."""
    path = run_dir / "metrics.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it and run the same command again") from error
    return found if isinstance(found, dict) else {}
