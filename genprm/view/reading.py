"""The files of a run directory as the view reads them: finished or not, and never trusted.

A file that is not there yet has no records. A killed run leaves half a line at the end of a file; what follows the
last newline was never finished and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple

from genprm.errors import InputError, RecordError


class Line(NamedTuple):
    """A record and where it stands."""

    number: int
    record: dict[str, Any]


def records(run_dir: Path, name: str, **fields: type | UnionType) -> Iterator[Line]:
    """The records of a file, if there is one. ``fields``: what each record must hold; a field that may be null may also
    be absent. Raises ``RecordError`` for a record that holds something else."""
    from genprm.records.lines import parse_line

    path = run_dir / name
    if not path.exists():
        return
    try:
        opened = path.open("rb")
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror}); check its permissions", source=str(path)) from error
    with opened as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n") or not raw.strip():
                continue
            record = parse_line(raw, str(path), number)
            for field, kind in fields.items():
                if not isinstance(record.get(field), kind):
                    message = "is not what a run writes; mend the line"
                    raise RecordError(message, source=str(path), line=number, field=field)
            yield Line(number, record)


def needed(run_dir: Path, *names: str) -> str:
    """The first of the files that is there. Raises ``InputError`` where none is."""
    for name in names:
        if (run_dir / name).exists():
            return name
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
