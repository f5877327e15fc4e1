"""Solutions with what a verifier said of them: a run directory of ``genprm verify``, or a JSONL file of records.

A run is ``solutions.jsonl`` with ``items.jsonl``; nothing else of it is needed. A file holds solution records with a
``reward``: a list of one number a step (null where nobody judged it), or one number for the whole solution.
``predicted_label`` may stand there too. The problem's text may be missing from a file, since nothing here is judged
again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprm.errors import InputError, RecordError
from genprm.records.inputs import load_records
from genprm.records.lines import read_lines
from genprm.types import Solution, Vote
from genprm.verdicts import THRESHOLD, predicted_label

Predicted = int | None
Rewards = tuple[float | None, ...]


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
    states = "predicted_label" in solution.extra
    stated = _label(solution.extra, path, line) if states else None
    return Scored(solution, line, rewards, number, stated, states)


def _of_run(run: Path) -> tuple[Scored, ...]:
    if not (run / "items.jsonl").exists():
        raise InputError(f"{run} has no items.jsonl; finish the run with genprm verify, or give its folder")
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
    known = isinstance(rewards, list) and all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in rewards
    )
    if rewards is not None and not known:
        raise RecordError("must be a list of numbers and nulls", source=str(source), line=line, field="rewards")
    if rewards is not None and len(rewards) != len(solution.steps):
        raise RecordError(
            f"has {len(rewards)} numbers, but the solution has {len(solution.steps)} steps; run genprm verify again",
            source=str(source), line=line, field="rewards",
        )  # fmt: skip
    stated = _label(item, source, line)
    return Scored(solution, line, None if rewards is None else tuple(rewards), None, stated, True, item.get("settled"))


def _label(record: Mapping[str, Any], source: Path, line: int) -> Predicted:
    found = record.get("predicted_label", "absent")
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise RecordError("must be a whole number or null", source=str(source), line=line, field="predicted_label")


def votes_of_items(run: Path) -> dict[str, list[Vote]]:
    """The votes that the run's items were made of, by solution: a run may hold more, of an earlier, larger number."""
    from genprm.records import read_votes

    votes = read_votes(run / "votes.jsonl")
    sizes = {str(item["id"]): item.get("votes") for _, item in read_lines(run / "items.jsonl")}
    return {name: found[: sizes[name]] for name, found in votes.items() if name in sizes}
