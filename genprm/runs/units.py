"""The append-only file of finished units of work: keys in memory, lines on disk.

A run may hold a million units of some kilobytes each. Opening the file reads keys alone; a unit is parsed when it is
asked for. Of a key that was written twice the last line stands: a unit that was cut short may have been done further
later.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from genprm.errors import InputError, RecordError
from genprm.records.lines import dump_line

_KEY = re.compile(rb'\{"key": "([^"\\]*)"')
_CHUNK = 1 << 16

Mark = Callable[[bytes], bool]


class UnitFile(Mapping[str, dict[str, Any]]):
    """Finished units by key. One process writes; see ``RunDirectory`` for the lock."""

    def __init__(self, path: Path, mark: Mark = lambda line: False) -> None:
        """``mark`` looks at the bytes of a line; ``marked`` tells later what it found. Cuts off a torn last line."""
        self.path = path
        self._mark = mark
        self._marked: set[str] = set()
        self._places: dict[str, int] = {}
        """Key to where its line starts."""
        self._reader: IO[bytes] | None = None
        self._writer: IO[bytes] | None = None
        cut_torn_line(path)
        self._end = 0
        if path.exists():
            self._scan()

    def _scan(self) -> None:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    found = _KEY.match(line)
                    key = found[1].decode(errors="replace") if found else self._parse(line, number).get("key")
                    if not isinstance(key, str):
                        raise RecordError(
                            "is missing; take the line out, its unit is done again",
                            source=str(self.path), line=number, field="key",
                        )  # fmt: skip
                    self._note(key, line)
                self._end += len(line)

    def _note(self, key: str, line: bytes) -> None:
        self._places[key] = self._end
        (self._marked.add if self._mark(line) else self._marked.discard)(key)

    def _parse(self, line: bytes, number: int | None = None) -> dict[str, Any]:
        try:
            unit = json.loads(line)
        except ValueError as error:
            raise RecordError(
                f"is not JSON ({error}); take the line out, its unit is done again", source=str(self.path), line=number
            ) from error
        if not isinstance(unit, dict):
            raise RecordError("is no JSON object; take the line out", source=str(self.path), line=number)
        return unit

    def append(self, unit: Mapping[str, Any]) -> None:
        """Add one finished unit; it survives a kill of this process once this returns."""
        if self._writer is None:
            try:
                self._writer = self.path.open("ab", buffering=0)
            except OSError as error:
                raise InputError(f"cannot write {self.path}: {error.strerror}; mend its permissions") from error
        line = (dump_line(unit) + "\n").encode()
        write_all(self._writer, line, self.path)
        self._note(str(unit["key"]), line)
        self._end += len(line)

    def marked(self, key: str) -> bool:
        """What ``mark`` said of the unit's line."""
        return key in self._marked

    def __getitem__(self, key: str) -> dict[str, Any]:
        place = self._places[key]
        if self._reader is None:
            self._reader = self.path.open("rb")
        self._reader.seek(place)
        line = self._reader.readline()
        try:
            return self._parse(line)
        except RecordError:
            self._reader.seek(0)
            return self._parse(line, self._reader.read(place).count(b"\n") + 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def close(self) -> None:
        """Idempotent."""
        for file in (self._reader, self._writer):
            if file is not None:
                file.close()
        self._reader = self._writer = None


def write_all(file: IO[bytes], data: bytes, path: Path) -> None:
    """Write to an unbuffered file, which may take a part at a time: the next line starts on its own."""
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; free space and run the same command again") from error


def cut_torn_line(path: Path) -> None:
    """Cut what follows the last newline: a line that a killed process did not finish."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - _CHUNK)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < end:
            file.truncate(position)
