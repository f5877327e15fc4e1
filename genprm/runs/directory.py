"""A run directory.

    solutions.jsonl    the records taken, in order; written before the first unit of work (problems.jsonl for problems)
    config.yaml        the resolved configuration (see ``configuration``)
    votes.jsonl        finished units of work, appended, one line each, ``key`` first (other verbs: another name, and
                       a file for each kind of unit)
    items.jsonl        derived from the units, in input order, replaced atomically
    errors.jsonl       units that infrastructure lost; they are owed again
    metrics.json  environment.json
    log/genprm.log     what genprm logged while the directory was open, from INFO on

Only the process that holds the lock writes. A line is complete when its newline is there: what a killed process left
after the last newline is cut off when the directory is opened, and its unit is owed again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from genprm.errors import IdentityError, InputError
from genprm.records.lines import dump_line, read_lines, replace_text, write_lines
from genprm.records.solutions import solution_to_dict
from genprm.runs.configuration import Configuration
from genprm.runs.lock import LOCK, hold
from genprm.runs.logfile import LogFile
from genprm.runs.units import Mark, UnitFile, cut_torn_line, write_all
from genprm.types import Solution

VOTES = "votes.jsonl"
ERRORS = "errors.jsonl"
SOLUTIONS = "solutions.jsonl"
PROBLEMS = "problems.jsonl"
_BEGUN = {LOCK, "log", SOLUTIONS, f".{SOLUTIONS}.new", PROBLEMS, f".{PROBLEMS}.new", ".config.yaml.new"}
"""What a run that was killed at its very start leaves. Without our lock, solutions.jsonl may be the user's own file."""

Record = Solution | Mapping[str, Any]
"""What a run is about: a solution, or the record of something else."""


class RunDirectory:
    """One open run directory. Made by ``open``; a context manager that gives the lock back."""

    def __init__(self, path: Path, units: UnitFile, lock: IO[str]) -> None:
        self.path = path
        self.log = path / "log"
        self.units = units
        """The finished units of work."""
        self._more_units: list[UnitFile] = []
        self._lock = lock
        self._log_file = LogFile(self.log / "genprm.log")

    @classmethod
    def open(
        cls,
        path: Path | str,
        configuration: Configuration,
        records: Sequence[Record],
        *,
        records_name: str = SOLUTIONS,
        units: str = VOTES,
        mark: Mark = lambda line: False,
        by_id: bool = False,
    ) -> RunDirectory:
        """Create the directory, or continue the run of the same identity that it holds.

        Nothing is written before every check has passed. Raises ``IdentityError`` for a run of another identity or
        of other records (more or fewer of the same records continue it; in any order, if ``by_id``), ``InputError``
        for a folder that is not a run directory or that another process holds.
        """
        path = Path(path)
        check_folder(path, configuration, records, records_name, by_id=by_id)
        try:
            (path / "log").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {path}: {error.strerror}; choose another --out folder") from error
        lock = hold(path)
        try:
            # Again: another process may have made it meanwhile.
            check_folder(path, configuration, records, records_name, by_id=by_id)
            cut_torn_line(path / ERRORS)
            run = cls(path, UnitFile(path / units, mark), lock)
        except BaseException:
            lock.close()
            raise
        try:
            write_lines(path / records_name, map(_record, records))
            # Last: a folder counts as a run once its configuration is there, with the records that it needs.
            replace_text(path / "config.yaml", configuration.dump())
        except BaseException:
            run.close()
            raise
        return run

    def open_units(self, name: str) -> UnitFile:
        """Another file of finished units, for a job with more than one kind of them. Closed with the directory."""
        self._more_units.append(UnitFile(self.path / name))
        return self._more_units[-1]

    def append_error(self, error: Mapping[str, Any]) -> None:
        """Add one line to errors.jsonl."""
        path = self.path / ERRORS
        with path.open("ab", buffering=0) as file:
            write_all(file, (dump_line(error) + "\n").encode(), path)

    def write_items(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Replace items.jsonl."""
        write_lines(self.path / "items.jsonl", items)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Replace metrics.json."""
        replace_text(self.path / "metrics.json", _pretty(metrics))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Replace environment.json."""
        replace_text(self.path / "environment.json", _pretty(environment))

    def read_metrics(self) -> dict[str, Any]:
        """The metrics that an earlier run left."""
        return read_metrics(self.path)

    def close(self) -> None:
        """Give the lock back. Idempotent."""
        self._log_file.close()
        for units in (self.units, *self._more_units):
            units.close()
        self._lock.close()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(path: Path) -> dict[str, Any]:
    """The metrics that a run left in its folder; empty if none or unreadable, for they are derived."""
    try:
        metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return metrics if isinstance(metrics, dict) else {}


def check_folder(
    path: Path, configuration: Configuration, records: Sequence[Record], records_name: str = SOLUTIONS, *,
    by_id: bool = False,
) -> None:  # fmt: skip
    """Raises what ``RunDirectory.open`` would raise for what the folder holds. Writes nothing."""
    if (stored := begun(path)) is not None:
        configuration.require_same(stored, path)
        _require_same_records(path, records, records_name, by_id)


def begun(path: Path, own: Collection[str] = ()) -> Configuration | None:
    """The configuration of the run that the folder holds, if it holds one.

    ``own``: what else a run of this kind may leave that was killed at its very start. Raises ``InputError`` for a
    folder of other things. Cheap: to be asked before anything is opened.
    """
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        if not path.exists():  # it would lie below a file: making it says so
            return None
        raise InputError(f"{path} is a file; choose another --out folder") from error
    except OSError as error:
        raise InputError(f"cannot read the folder {path}: {error.strerror}; choose another --out folder") from error
    if "config.yaml" in names:
        return Configuration.read(path / "config.yaml")
    if not names <= (_BEGUN.union(own) if LOCK in names else {"log"}):
        raise InputError(f"{path} is not empty and holds no run (no config.yaml); choose another --out folder")
    return None


def require_verb(path: Path, verb: str) -> bool:
    """Whether the folder holds a run of this verb, so that one would be continued. Raises ``InputError`` where it holds
    anything else."""
    stored = begun(path)
    if stored is not None:
        stored.require_verb(verb, path)
    return stored is not None


def _require_same_records(path: Path, records: Sequence[Record], name: str, by_id: bool) -> None:
    """The shorter list of records must be the beginning of the longer one: then only the limit changed.

    ``by_id``: records of one id must be the same, wherever they stand.
    """
    if not (path / name).exists():
        raise IdentityError(f"{path} holds a run on other input: it has no {name}; choose another --out folder")
    given = (json.loads(dump_line(_record(record))) for record in records)
    stored = (there for _, there in read_lines(path / name))
    if by_id:
        known = {there.get("id"): there for there in stored}
        pairs = ((known.get(here.get("id"), here), here) for here in given)
    else:
        pairs = ((there, here) for there, here in zip(stored, given, strict=False))
    for number, (there, here) in enumerate(pairs, start=1):
        if there != here:
            name, asked = there.get("id"), here.get("id")
            differs = f"is '{name}', not the '{asked}' given"
            if name == asked:
                fields = ", ".join(key for key in {**there, **here} if there.get(key) != here.get(key))
                differs = f"('{name}') has other {fields} than the one given"
            raise IdentityError(
                f"{path} holds a run on other input: its record {number} {differs}; choose another --out folder"
            )


def _record(record: Record) -> Mapping[str, Any]:
    return solution_to_dict(record) if isinstance(record, Solution) else record


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
