"""Solutions with what a verifier said of them: a run directory of ``genprm verify``, or a JSONL file of records.

A run is ``solutions.jsonl`` with ``items.jsonl``; nothing else of it is needed. A file holds solution records with a
``reward``: a list of one number a step (null where nobody judged it), or one number for the whole solution.
``predicted_label`` may stand there too. The problem's text may be missing from a file, since nothing here is judged
again.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genprm.errors import InputError, RecordError
from genprm.records.inputs import load_records
from genprm.records.lines import read_lines
from genprm.records.solutions import is_number
from genprm.types import Solution, Vote
from genprm.verdicts import THRESHOLD, predicted_label

Predicted = int | None
Rewards = tuple[float | None, ...]


Bench = Literal["processbench", "prmbench", "best-of-n"]
_LOOKED_AT: Mapping[Bench, Sequence[str]] = {
    "processbench": ("label",),
    "prmbench": ("error_steps", "classification"),
    "best-of-n": ("answer", "final_answer_correct"),
}
"""What each bench takes for the truth of a solution."""
_MAY_BE_MISSING = ("problem", "problem_id", "answer", "final_answer_correct")
LARGEST_REWARD = 1e6
"""Whatever its sign: sums and products of larger ones are no numbers any more."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A solution and its verdict."""

    solution: Solution
    line: int
    """Of the record that holds the verdict, from 1."""
    rewards: Rewards | None = None
    """One a step, ``None`` where a step was not judged; no tuple where steps have no rewards of their own."""
    reward: float | None = None
    """One number for the whole solution."""
    stated: Predicted = None
    """The label that the record states."""
    states: bool = False
    """Whether it states one; it may be null."""
    settled: str | None = "all"

    def predicted(self, threshold: float = THRESHOLD) -> Predicted:
        """The first step below the threshold, or -1; ``None`` without a verdict. What a record states holds at 0.5."""
        if self.states and (threshold == THRESHOLD or self.rewards is None):
            return self.stated
        return None if self.rewards is None else predicted_label(self.rewards, threshold)

    @property
    def problem(self) -> Hashable:
        """What names the problem: ``problem_id``, else its text, else the solution's own id."""
        return self.solution.problem_id or self.solution.problem or self.solution.id


@dataclass(frozen=True, slots=True)
class Results:
    """What one run directory or file holds, in its order."""

    path: Path
    scored: tuple[Scored, ...]
    is_run: bool

    @property
    def file(self) -> str:
        """The file that a ``Scored.line`` counts in."""
        return str(self.path / "items.jsonl" if self.is_run else self.path)

    def fail(self, scored: Scored, field: str, message: str) -> RecordError:
        return RecordError(message, source=self.file, line=scored.line, field=field)


def read_results(path: Path) -> Results:
    """The results of a run directory or a JSONL file. Raises ``InputError`` or ``RecordError``."""
    return Results(path, _of_run(path) if path.is_dir() else _of_file(path), path.is_dir())


def _of_file(path: Path) -> tuple[Scored, ...]:
    loaded = load_records(read_lines(path), str(path), None, judged=True)
    return tuple(_from_record(solution, loaded.lines[solution.id], path) for solution in loaded.solutions)


def _from_record(solution: Solution, line: int, path: Path) -> Scored:
    rewards = solution.reward if isinstance(solution.reward, tuple) else None
    number = None if isinstance(solution.reward, tuple) else solution.reward
    _check_sizes(rewards or (number,), path, line, "reward")
    states = "predicted_label" in solution.extra
    stated = _label(solution.extra, solution, path, line) if states else None
    return Scored(solution, line, rewards, number, stated, states)


def _of_run(run: Path) -> tuple[Scored, ...]:
    if not (run / "items.jsonl").exists():
        inside = min(run.glob("*/items.jsonl"), default=None)
        remedy = "finish the run with genprm verify, or give its folder"
        if inside is not None:
            remedy = f"give the runs in it, such as {inside.parent}"
        raise InputError(f"{run} has no items.jsonl; {remedy}")
    _refuse_other_verbs(run)
    source = run / "items.jsonl"
    loaded = load_records(read_lines(run / "solutions.jsonl"), str(run / "solutions.jsonl"), None, judged=True)
    items = {str(item.get("id")): (line, item) for line, item in read_lines(source)}
    if missing := [solution.id for solution in loaded.solutions if solution.id not in items]:
        raise InputError(
            f"{source} has no line of {len(missing)} of {len(loaded.solutions)} solutions, the first '{missing[0]}'; "
            "run the same genprm verify command again"
        )
    return tuple(_from_item(solution, *items[solution.id], source) for solution in loaded.solutions)


def _refuse_other_verbs(run: Path) -> None:
    from genprm.runs.configuration import Configuration

    if (run / "config.yaml").exists() and (verb := Configuration.read(run / "config.yaml").verb) != "verify":
        raise InputError(f"{run} is a run of genprm {verb}; give one of genprm verify, or a JSONL file with rewards")


def _from_item(solution: Solution, line: int, item: Mapping[str, Any], source: Path) -> Scored:
    rewards = item.get("rewards")
    known = isinstance(rewards, list) and all(value is None or is_number(value) for value in rewards)
    if rewards is not None and not known:
        raise RecordError(
            "must be a list of numbers and nulls; run genprm verify again",
            source=str(source),
            line=line,
            field="rewards",
        )
    if rewards is not None and len(rewards) != len(solution.steps):
        raise RecordError(
            f"has {len(rewards)} numbers, but the solution has {len(solution.steps)} steps; run genprm verify again",
            source=str(source), line=line, field="rewards",
        )  # fmt: skip
    _check_sizes(rewards or (), source, line, "rewards")
    stated = _label(item, solution, source, line)
    return Scored(solution, line, None if rewards is None else tuple(rewards), None, stated, True, item.get("settled"))


def _check_sizes(rewards: Iterable[float | None], source: Path, line: int, field: str) -> None:
    if any(value is not None and abs(value) > LARGEST_REWARD for value in rewards):
        message = f"must lie between {-LARGEST_REWARD:g} and {LARGEST_REWARD:g}; scale the rewards down"
        raise RecordError(message, source=str(source), line=line, field=field)


def _label(record: Mapping[str, Any], solution: Solution, source: Path, line: int) -> Predicted:
    found = record.get("predicted_label", "absent")
    if found is None or (type(found) is int and -1 <= found < len(solution.steps)):
        return found
    message = f"must be the index of one of the {len(solution.steps)} steps, -1 for no error, or null"
    raise RecordError(message, source=str(source), line=line, field="predicted_label")


def require_same_input(first: Results, other: Results, bench: Bench) -> None:
    """Raises ``InputError`` unless both hold the same solutions, and say the same of them as far as a bench looks."""
    known = {one.solution.id: one for one in first.scored}
    there = {one.solution.id for one in other.scored}
    if missing := sorted(known.keys() ^ there):
        has, lacks = (first, other) if missing[0] in known else (other, first)
        raise InputError(
            f"{has.path} has the solution '{missing[0]}' and {lacks.path} has not; give runs on the same input"
        )
    for one in other.scored:
        require_same(first, known[one.solution.id], other, one, bench)


def require_same(first: Results, mine: Scored, other: Results, theirs: Scored, bench: Bench) -> None:
    """The same of one solution. Text, problem and answers may be missing from one of them."""
    for field in ("problem", "steps", "problem_id", *_LOOKED_AT[bench]):
        own, its = (_said(one.solution, field) for one in (mine, theirs))
        missing = field in _MAY_BE_MISSING and (own in (None, "") or its in (None, ""))
        if field == "problem_id" and bench == "best-of-n":  # samples are grouped by it
            missing = mine.problem == theirs.problem
        if own != its and not missing:
            raise InputError(
                f"{first.path} and {other.path} differ in field '{field}' of the solution '{theirs.solution.id}'; "
                "give runs on the same input"
            )


def _said(solution: Solution, field: str) -> object:
    found = getattr(solution, field, solution.extra.get(field))
    if field == "error_steps":
        return sorted(found, key=str) if isinstance(found, list) else [] if solution.label == -1 else found
    return found


def votes_of_items(run: Path) -> dict[str, list[Vote]]:
    """The votes that the run's items were made of, by solution: a run may hold more, of an earlier, larger number."""
    from genprm.records import read_votes

    votes, source = read_votes(run / "votes.jsonl"), run / "items.jsonl"
    sizes: dict[str, int | None] = {}
    for line, item in read_lines(source):
        size = item.get("votes")
        if size is not None and (type(size) is not int or size < 0):
            raise RecordError(f"is {json.dumps(size)}; it must be a number of votes; run genprm verify again",
                              source=str(source), line=line, field="votes")  # fmt: skip
        sizes[str(item.get("id"))] = size
    return {name: found[: sizes[name]] for name, found in votes.items() if name in sizes}
