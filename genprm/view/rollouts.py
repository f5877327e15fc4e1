"""The page of a rollout run: every problem with its solutions as rows of steps, and how often each prefix led home.

The numbers are counted from what was done (samples.jsonl, rollouts.jsonl), so they are there before a run is finished.
A solution is shown once it was kept or given; of an unfinished problem also where some of its prefixes are completed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genprm.types import Rollout
from genprm.view import reading
from genprm.view.frame import BINS, bars, bin_of, filters, page

SHOWN = 200
"""Problems that are drawn; the others are counted."""
Outcome = Literal["correct", "incorrect", "invalid"]

_FACTS = (
    ("policy.engine.model", "policy"),
    ("completer.engine.model", "completion model"),
    ("completer.engine.engine", "engine"),
    ("style", "style"),
    ("k.hard", "k, hard"),
    ("k.medium", "k, medium"),
    ("k.easy", "k, easy"),
    ("rule", "stop rule"),
    ("sampling.temperature", "temperature"),
    ("seed", "seed"),
)
_FILTERS = (
    ("hard", "Hard"), ("medium", "Medium"), ("easy", "Easy"), ("never", "Never completed right"),
    ("invalid", "Invalid samples"), ("unfinished", "Unfinished"),
)  # fmt: skip


class Sampled(NamedTuple):
    """One sample, without its text."""

    id: str
    outcome: Outcome
    reason: str | None


@dataclass(frozen=True, slots=True)
class Prefix:
    """A step, and what completing the solution from behind it gave; ``None``: not done yet."""

    index: int
    text: str
    done: Rollout | None

    @property
    def share(self) -> float | None:
        return None if self.done is None or not self.done.total else self.done.correct / self.done.total


class Row(NamedTuple):
    """A solution."""

    id: str
    prefixes: tuple[Prefix, ...]
    """Of all steps; the last one is the whole solution, whose answer is looked at and nothing completed."""
    answer: Outcome | None
    """What its final answer is; ``None``: not known yet."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A problem with all that was rolled out from it."""

    id: str
    problem: str
    answer: str | None
    alone: Rollout | None
    """From the problem alone; its share is Pass@1 of the completion model."""
    samples: tuple[Sampled, ...]
    rows: tuple[Row, ...]
    difficulty: str | None
    finished: bool

    @property
    def pass_at_1(self) -> float | None:
        return None if self.alone is None or not self.alone.total else self.alone.correct / self.alone.total

    @property
    def tags(self) -> str:
        """The filters of the page that show this problem."""
        named = {
            self.difficulty or "": self.difficulty is not None,
            "never": self.pass_at_1 == 0,
            "invalid": any(one.outcome == "invalid" for one in self.samples),
            "unfinished": not self.finished,
        }
        return " ".join(name for name, holds in named.items() if holds)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole run, of problems that are not drawn too."""

    problems: int
    finished: int
    solutions: int
    """Kept or given."""
    samples: Mapping[str, int]
    reasons: Mapping[str, int]
    """Invalid samples by reason."""
    completions: Mapping[str, int]
    """By outcome; last steps are not completed."""
    prefixes: int
    sample_tokens: int
    completion_tokens: int
    saved: int
    difficulties: Mapping[str, int]
    histogram: tuple[int, ...]
    """Completed prefixes by MC value; neither the problems alone nor last steps."""


@dataclass(frozen=True, slots=True)
class RolloutRun:
    """What the page shows."""

    totals: Totals
    trees: tuple[Tree, ...]


def render(title: str, config: Mapping[str, Any], run: RolloutRun) -> str:
    """The page as text."""
    shown = filters([tree.tags for tree in run.trees], _FILTERS)
    return page(
        "rollouts.html.jinja", title, config, _FACTS, what="problem", filters=shown,
        totals=run.totals, trees=run.trees, bars=bars(run.totals.histogram),
    )  # fmt: skip


def read(run_dir: Path, *, shown: int = SHOWN) -> RolloutRun:
    """What there is of a rollout run. Raises ``InputError``."""
    source = reading.needed(run_dir, "problems.jsonl", "solutions.jsonl")
    problems = _problems(run_dir, source)
    drawn = set(list(problems)[:shown])
    samples = _samples(run_dir, drawn)
    chosen = "selected.jsonl" if (run_dir / "selected.jsonl").exists() else source
    kept = [one.record for one in reading.records(run_dir, chosen, **_SOLUTION)] if chosen != "problems.jsonl" else []
    items = {one.record["id"]: one.record for one in reading.records(run_dir, "items.jsonl", id=str, owed=int)}
    rollouts = _rollouts(run_dir)
    lengths = {one["id"]: one["length"] for one in samples} | {one["id"]: len(one["steps"]) for one in kept}
    of_problem = {name: _Known([], [], {}) for name in drawn}
    for one in samples:
        if one["problem_id"] in drawn:
            of_problem[one["problem_id"]].samples.append(one)
    for one in kept:
        if one["problem_id"] in drawn:
            of_problem[one["problem_id"]].kept.append(one)
    for rollout in rollouts:
        if rollout.problem_id in drawn:
            of_problem[rollout.problem_id].done[rollout.id, rollout.step] = rollout
    trees = tuple(_tree(problems[name], of_problem[name], items.get(name)) for name in problems if name in drawn)
    return RolloutRun(_totals(problems, samples, len(kept), rollouts, items, lengths), trees)


_SAMPLE = {
    "key": str, "id": str, "problem_id": str, "index": int, "outcome": str, "reason": str | None, "steps": list,
    "tokens": int,
}  # fmt: skip
_SOLUTION = {"id": str, "problem_id": str, "steps": list, "final_answer_correct": bool | None}


class _Known(NamedTuple):
    """What is known of one problem."""

    samples: list[Mapping[str, Any]]
    kept: list[Mapping[str, Any]]
    done: dict[tuple[str, int], Rollout]
    """By solution, or problem, and step."""


def _problems(run_dir: Path, source: str) -> dict[str, Mapping[str, Any]]:
    """The problems in their order; those of given solutions are told by ``problem_id``."""
    name = "id" if source == "problems.jsonl" else "problem_id"
    found: dict[str, Mapping[str, Any]] = {}
    for _, record in reading.records(run_dir, source, **{name: str}, problem=str):
        found.setdefault(record[name], {"id": record[name], **{key: record.get(key) for key in ("problem", "answer")}})
    return found


def _samples(run_dir: Path, drawn: set[str]) -> list[Mapping[str, Any]]:
    """Each sample once; the text is kept of problems that are drawn, for a run may hold more than fits in memory."""
    found = {}
    for _, record in reading.records(run_dir, "samples.jsonl", **_SAMPLE):
        sample = {name: record.get(name) for name in _SAMPLE} | {"length": len(record["steps"])}
        found[record["key"]] = sample | ({} if record["problem_id"] in drawn else {"steps": []})
    return list(found.values())


def _rollouts(run_dir: Path) -> list[Rollout]:
    from genprm.records.curation import rollout_from_dict

    source = "rollouts.jsonl"
    found = (rollout_from_dict(one.record, source=source, line=one.number) for one in reading.records(run_dir, source))
    return list({one.key or (one.id, one.step): one for one in found}.values())


def _tree(problem: Mapping[str, Any], known: _Known, item: Mapping[str, Any] | None) -> Tree:
    samples = sorted(known.samples, key=lambda one: one["index"])
    finished = item is not None and item["owed"] == 0
    solutions = {one["id"]: one for one in known.kept}
    if not finished:
        begun = {name for name, step in known.done if step >= 0}
        solutions |= {one["id"]: one for one in samples if one["id"] in begun - solutions.keys()}
    return Tree(
        id=problem["id"],
        problem=problem["problem"],
        answer=problem["answer"],
        alone=known.done.get((problem["id"], -1)),
        samples=tuple(Sampled(one["id"], one["outcome"], one["reason"]) for one in samples),
        rows=tuple(_row(one, known.done) for one in solutions.values()),
        difficulty=None if item is None else item.get("difficulty"),
        finished=finished,
    )


def _row(solution: Mapping[str, Any], done: Mapping[tuple[str, int], Rollout]) -> Row:
    name, steps = solution["id"], solution["steps"]
    prefixes = tuple(Prefix(index, str(text), done.get((name, index))) for index, text in enumerate(steps))
    last = prefixes[-1].done if prefixes else None
    answer: Outcome | None
    if last is not None:
        answer = "correct" if last.correct else "invalid" if last.invalid else "incorrect"
    else:
        stated = solution.get("final_answer_correct")
        answer = solution.get("outcome") if stated is None else "correct" if stated else "incorrect"
    return Row(name, prefixes, answer)


def _totals(
    problems: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], solutions: int, rollouts: Sequence[Rollout],
    items: Mapping[str, Mapping[str, Any]], lengths: Mapping[str, int],
) -> Totals:  # fmt: skip
    inner = [one for one in rollouts if one.step < 0 or one.step != lengths.get(one.id, 0) - 1]
    histogram = [0] * BINS
    for one in inner:
        if one.step >= 0 and one.total:
            histogram[bin_of(one.correct / one.total)] += 1
    completions: dict[str, int] = defaultdict(int)
    for one in inner:
        completions["correct"] += one.correct
        completions["invalid"] += one.invalid
        completions["incorrect"] += one.total - one.correct - one.invalid
    return Totals(
        problems=len(problems),
        finished=sum(items[name]["owed"] == 0 for name in problems if name in items),
        solutions=solutions,
        samples=dict(Counter(one["outcome"] for one in samples)),
        reasons=dict(Counter(one["reason"] for one in samples if one["reason"] is not None)),
        completions=dict(completions),
        prefixes=len(rollouts),
        sample_tokens=sum(one["tokens"] for one in samples),
        completion_tokens=sum(one.tokens for one in rollouts),
        saved=sum(one.k - one.total for one in inner),
        difficulties=dict(Counter(one["difficulty"] for one in items.values() if one.get("difficulty"))),
        histogram=tuple(histogram),
    )
