"""The directory of a ``genprm critique`` run, read: who was right after each round, and what it took."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genprm.errors import InputError, RecordError
from genprm.evaluate.statistics import Bools
from genprm.records.inputs import load_records
from genprm.records.lines import json_name, read_lines
from genprm.types import Solution

_REMEDY = "the run directory was written by another version or edited: run genprm critique again"


class Tokens(NamedTuple):
    """Of one round."""

    policy: int
    verifier: int


@dataclass(frozen=True, slots=True)
class Refined:
    """One critique run on n solutions, with round 0, the solutions as given, and r rounds."""

    path: Path
    critic: str
    ids: tuple[str, ...]
    """(n,): the solutions given, in their order."""
    given: tuple[tuple[str, ...], ...]
    """(n,): what each of them says: the problem, and the steps."""
    problems: tuple[Hashable, ...]
    """(n,)"""
    answered: Bools
    """(n,): whether the answer can be told right or wrong, whatever the policy writes: there is a reference answer."""
    right: Bools
    """(n, r + 1): whether it is right; False where that is not known."""
    criticised: Bools
    """(n, r + 1): whether the round had something to say of the solution; False for round 0."""
    invalid: tuple[int, ...]
    """(r + 1,): new solutions that could not be used."""
    tokens: tuple[Tokens, ...]
    """(r + 1,)"""


class _Item(NamedTuple):
    right: Sequence[bool | None]
    criticised: Sequence[bool]
    invalid: Sequence[int]


def read_refined(path: Path) -> Refined:
    """The run of a directory. Raises ``InputError`` for one that is not of ``genprm critique``, or not finished."""
    _require_critique(path)
    source = path / "solutions.jsonl"
    solutions = load_records(read_lines(source), str(source), None, judged=True).solutions
    items = {str(record.get("id")): _Reader(record, path, line).item() for line, record in read_lines(_items(path))}
    if missing := [one.id for one in solutions if one.id not in items]:
        raise InputError(f"{_items(path)} lacks the solution '{missing[0]}'; {_REMEDY}")
    found = [items[one.id] for one in solutions]
    rounds = len(found[0].right)
    for one, item in zip(solutions, found, strict=True):
        if len(item.right) != rounds:
            raise InputError(f"{_items(path)} has other rounds of '{one.id}' than of the first; {_REMEDY}")
    metrics = _metrics(path, rounds)
    return Refined(
        path=path,
        critic=str(metrics.get("critic", "")),
        ids=tuple(one.id for one in solutions),
        given=tuple((one.problem, *one.steps) for one in solutions),
        problems=tuple(_problem(one) for one in solutions),
        answered=np.array([_answered(one, item) for one, item in zip(solutions, found, strict=True)]),
        right=np.array([[bool(one) for one in item.right] for item in found]),
        criticised=np.array([[False, *item.criticised] for item in found]),
        invalid=(0, *(int(sum(round)) for round in zip(*(item.invalid for item in found), strict=True))),
        tokens=tuple(_tokens(metrics, path)),
    )


def _problem(solution: Solution) -> Hashable:
    return solution.problem_id or solution.problem or solution.id


def _answered(solution: Solution, item: _Item) -> bool:
    # Without a reference answer a record may still say that its own is right; of what replaces it nobody can tell, and
    # counting it as long as it stands would make every round look harmless.
    return bool(solution.answer) and None not in item.right


def _items(path: Path) -> Path:
    return path / "items.jsonl"


def _require_critique(path: Path) -> None:
    from genprm.runs.configuration import Configuration

    if not path.is_dir() or not (path / "config.yaml").exists():
        raise InputError(f"{path} is not a run directory; give one of genprm critique")
    if (verb := Configuration.read(path / "config.yaml").verb) != "critique":
        raise InputError(f"{path} is a run of genprm {verb}; give one of genprm critique")
    if not _items(path).exists():
        raise InputError(f"{path} has no items.jsonl yet; run the same genprm critique command again to finish it")


def _metrics(path: Path, rounds: int) -> Mapping[str, Any]:
    """metrics.json, with a record for each of ``rounds``."""
    source = path / "metrics.json"
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be read; run the same genprm critique command again") from error
    if not isinstance(found, dict) or not isinstance(found.get("rounds"), list) or len(found["rounds"]) != rounds:
        raise InputError(f"{source} does not have the {rounds} rounds of items.jsonl; {_REMEDY}")
    return found


def _tokens(metrics: Mapping[str, Any], path: Path) -> Iterator[Tokens]:
    for one in metrics["rounds"]:
        counts = [one.get(name) if isinstance(one, dict) else None for name in ("policy_tokens", "verifier_tokens")]
        if not all(type(count) is int for count in counts):
            raise InputError(f"{path / 'metrics.json'}: a round does not say its tokens; {_REMEDY}")
        yield Tokens(*counts)  # type: ignore[arg-type]


class _Reader:
    """Reads the record of one problem; every complaint names file, line and field."""

    def __init__(self, record: Mapping[str, Any], path: Path, line: int) -> None:
        self._record, self._path, self._line = record, path, line

    def item(self) -> _Item:
        right, rounds = self._list("right"), self._list("rounds")
        if len(right) != len(rounds) + 1 or not all(one is None or isinstance(one, bool) for one in right):
            raise self._fail("right", f"must be {len(rounds) + 1} times true, false or null")
        for one in rounds:
            if not isinstance(one, dict) or "finding" not in one or type(one.get("invalid")) is not int:
                raise self._fail("rounds", "must say of every round its finding and how many solutions were invalid")
        return _Item(right, [one["finding"] is not None for one in rounds], [one["invalid"] for one in rounds])

    def _list(self, field: str) -> list[Any]:
        value = self._record.get(field)
        if not isinstance(value, list):
            raise self._fail(field, f"is a {json_name(value)} and no list")
        return value

    def _fail(self, field: str, message: str) -> RecordError:
        return RecordError(f"{message}; {_REMEDY}", source=str(_items(self._path)), line=self._line, field=field)
