"""JSON lines: one object a line, UTF-8, newline-terminated. Errors name the file and the line."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from genprm.errors import InputError, RecordError


def dump_line(record: Mapping[str, Any]) -> str:
    """One line without its newline. Readable text, unless it holds something that UTF-8 cannot carry."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, as untrusted output may hold: escaped, it survives the file
        return json.dumps(record, allow_nan=False)
    return text


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file atomically: a reader sees the old lines or the new ones, never a part."""
    replace_text(path, "".join(dump_line(record) + "\n" for record in records))


def replace_text(path: Path, text: str) -> None:
    """Replace the file atomically. Raises ``InputError`` when the disk refuses."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        if os.path.isdir(path):  # noqa: PTH112 - a name that is too long is no folder, and no error
            message = f"cannot write {path}: it is a folder; give the name of a file"
        elif not path.parent.is_dir():
            message = f"cannot write {path}: there is no folder {path.parent}; make it first"
        else:
            message = f"cannot write {path}: {error.strerror}; free space or choose another folder"
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InputError(message) from error


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every non-blank line. Raises ``RecordError``."""
    return parse_lines(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The file's bytes, or a ``RecordError`` that says why there are none."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError("no such file; check the path", source=str(path)) from error
    except IsADirectoryError as error:
        raise RecordError("is a folder; give a JSONL file", source=str(path)) from error
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror}); check its permissions", source=str(path)) from error


def parse_lines(data: bytes, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every non-blank line. Raises ``RecordError``."""
    # Split at newline bytes only: text may hold U+2028 and other marks that str.splitlines would cut at.
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if raw.strip():
            yield number, parse_line(raw, source, number)


def parse_line(raw: bytes, source: str, number: int) -> dict[str, Any]:
    """The object of one line. Raises ``RecordError``."""
    try:
        record = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise RecordError(
            f"is not UTF-8 (byte {error.object[error.start]:#04x} at position {error.start}); save the file as UTF-8",
            source=source,
            line=number,
        ) from error
    except (ValueError, RecursionError) as error:
        shown = getattr(error, "msg", str(error))
        raise RecordError(
            f"is not JSON ({shown}); every line must be one JSON object", source=source, line=number
        ) from error
    if not isinstance(record, dict):
        raise RecordError(
            f"is a JSON {json_name(record)}, not an object; every line must be one JSON object",
            source=source,
            line=number,
        )
    return record


def json_name(value: object) -> str:
    """What JSON calls the type of a value."""
    names = {str: "string", bool: "boolean", list: "list", dict: "object", int: "number", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):  # it could not be written back
        raise ValueError(f"{digits[:40]} is too large a number")
    return value
