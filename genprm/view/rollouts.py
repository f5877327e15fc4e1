"""The page of a rollout run: every problem with its solutions as rows of steps, and how often each prefix led home.

The numbers are counted from what was done (samples.jsonl, rollouts.jsonl), so they are there before a run is finished.
A solution is shown once it was kept or given; of an unfinished problem also where some of its prefixes are completed.
One pass over the problems: what belongs to one is read when it is its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genprm.types import Rollout
from genprm.view import reading
from genprm.view.bundle import Bundle, Entry
from genprm.view.frame import BINS, Tag, bars, bin_of, bin_tags, page

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
FILTERS = (
    Tag("hard", "Hard"), Tag("medium", "Medium"), Tag("easy", "Easy"),
    Tag("never", "Never completed right", "the problem alone was never completed right"),
    Tag("invalid", "Invalid samples", "some samples have no answer that can be read"), Tag("unfinished", "Unfinished"),
)  # fmt: skip
SORTS = (("pass", "Pass@1"), ("samples", "Samples"), ("solutions", "Solutions"))
_CLASS = {"correct": "right", "incorrect": "wrong", "invalid": "invalid"}
_MARKED = 64
"""Samples in the list."""


class Sampled(NamedTuple):
    """One sample, without its text."""

    id: str
    outcome: Outcome
    reason: str | None
    line: int


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
    def tags(self) -> Iterator[str]:
        """The filters of the page that show this problem; some more than once."""
        named = {
            self.difficulty or "": self.difficulty is not None,
            "never": self.pass_at_1 == 0,
            "finished": self.finished,
            "unfinished": not self.finished,
            "kept": bool(self.rows),
            "sampled": bool(self.samples),
        }
        yield from (name for name, holds in named.items() if holds)
        yield from (f"samples-{one.outcome}" for one in self.samples)
        yield from (f"reason-{one.reason}" for one in self.samples if one.reason is not None)
        yield from ("invalid" for one in self.samples if one.outcome == "invalid")
        yield from ("completed" for _ in self.inner)
        yield from (f"m{bin_of(one.share)}" for one in self.inner if one.index >= 0 and one.share is not None)

    @property
    def inner(self) -> Iterator[Prefix]:
        """What was completed: the problem alone, and prefixes short of the whole solution."""
        if self.alone is not None:
            yield Prefix(-1, "", self.alone)
        yield from (one for row in self.rows for one in row.prefixes[:-1] if one.done is not None)


@dataclass(slots=True)
class Totals:
    """Counts over the whole run, one problem after another."""

    problems: int = 0
    finished: int = 0
    solutions: int = 0
    """Kept or given."""
    samples: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Invalid samples by reason."""
    completions: Counter[str] = field(default_factory=Counter)
    """By outcome; last steps are not completed."""
    prefixes: int = 0
    sample_tokens: int = 0
    completion_tokens: int = 0
    saved: int = 0
    difficulties: Counter[str] = field(default_factory=Counter)
    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    """Completed prefixes by MC value; neither the problems alone nor last steps."""


def render(run_dir: Path, title: str, config: Mapping[str, Any], bundle: Bundle) -> str:
    """The page as text, its items in the bundle. Raises ``InputError``."""
    totals = Totals()
    bundle.extend(_entry(tree, places) for tree, places in trees(run_dir, totals))
    bundle.finish()
    more = (
        Tag("finished", "Finished"), Tag("kept", "With a solution kept or given"), Tag("completed", "With completions"),
        Tag("sampled", "With samples"),
        *(Tag(f"samples-{name}", f"Samples: {name}") for name in totals.samples),
        *(Tag(f"reason-{name}", f"Invalid: {name}") for name in totals.reasons),
        *bin_tags("m", BINS, "MC value"),
    )  # fmt: skip
    return page(
        "rollouts.html.jinja", title, config, _FACTS, bundle, what="problems", filters=FILTERS,
        tags=(*FILTERS, *more), sorts=SORTS, totals=totals, bars=bars(totals.histogram, "m"),
    )  # fmt: skip


def trees(run_dir: Path, totals: Totals) -> Iterator[tuple[Tree, list[str]]]:
    """Every problem with the lines that speak of it, counted into ``totals``. Raises ``InputError``."""
    source = reading.needed(run_dir, "problems.jsonl", "solutions.jsonl")
    chosen = "selected.jsonl" if (run_dir / "selected.jsonl").exists() else source
    with reading.indices() as open_index:
        samples = open_index(run_dir, "samples.jsonl", by="problem_id", **_SAMPLE)
        rollouts = open_index(run_dir, "rollouts.jsonl", by="problem_id")
        items = open_index(run_dir, "items.jsonl", owed=int)
        selected = open_index(run_dir, chosen, by="problem_id", **_SOLUTION) if chosen != "problems.jsonl" else None
        for line, problem in _problems(run_dir, source):
            done = list(rollouts.of(problem["id"]))
            known = _Known(
                samples={one.record["key"]: one for one in samples.of(problem["id"])},
                kept=[one.record for one in selected.of(problem["id"])] if selected else [],
                done={(one.id, one.step): one for one in _rollouts(done)},
            )
            item = items.last(problem["id"])
            places = [f"{source}:{line}", *(f"items.jsonl:{one.number}" for one in (item,) if one)]
            places += [f"rollouts.jsonl:{one.number}" for one in done]
            _count(totals, known, None if item is None else item.record)
            yield _tree(problem, known, None if item is None else item.record), places


_SAMPLE = {
    "key": str, "id": str, "problem_id": str, "index": int, "outcome": str, "reason": str | None, "steps": list,
    "tokens": int,
}  # fmt: skip
_SOLUTION = {"id": str, "problem_id": str, "steps": list, "final_answer_correct": bool | None}


class _Known(NamedTuple):
    """What there is of one problem."""

    samples: Mapping[str, reading.Line]
    """By key."""
    kept: Sequence[Mapping[str, Any]]
    done: Mapping[tuple[str, int], Rollout]


def _problems(run_dir: Path, source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each problem once; of given solutions, told by ``problem_id``."""
    name, seen = "id" if source == "problems.jsonl" else "problem_id", set()
    for line, record in reading.records(run_dir, source, **{name: str}, problem=str):
        if record[name] not in seen:
            seen.add(record[name])
            yield line, {"id": record[name], **{key: record.get(key) for key in ("problem", "answer")}}


def _rollouts(lines: Sequence[reading.Line]) -> Iterator[Rollout]:
    from genprm.records.curation import rollout_from_dict

    return (rollout_from_dict(one.record, source="rollouts.jsonl", line=one.number) for one in lines)


def _tree(problem: Mapping[str, Any], known: _Known, item: Mapping[str, Any] | None) -> Tree:
    samples = sorted(known.samples.values(), key=lambda one: one.record["index"])
    finished = item is not None and item["owed"] == 0
    solutions = {one["id"]: one for one in known.kept}
    if not finished:
        begun = {name for name, step in known.done if step >= 0}
        solutions |= {one.record["id"]: one.record for one in samples if one.record["id"] in begun - solutions.keys()}
    return Tree(
        id=problem["id"],
        problem=problem["problem"],
        answer=problem["answer"],
        alone=known.done.get((problem["id"], -1)),
        samples=tuple(Sampled(r["id"], r["outcome"], r.get("reason"), line) for line, r in samples),
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


def _count(totals: Totals, known: _Known, item: Mapping[str, Any] | None) -> None:
    samples = [one.record for one in known.samples.values()]
    lengths = {one["id"]: len(one["steps"]) for one in (*samples, *known.kept)}
    inner = [one for one in known.done.values() if one.step < 0 or one.step != lengths.get(one.id, 0) - 1]
    totals.problems += 1
    totals.finished += item is not None and item["owed"] == 0
    totals.solutions += len(known.kept)
    totals.samples.update(one["outcome"] for one in samples)
    totals.reasons.update(one["reason"] for one in samples if one.get("reason") is not None)
    totals.prefixes += len(known.done)
    totals.sample_tokens += sum(one["tokens"] for one in samples)
    totals.completion_tokens += sum(one.tokens for one in known.done.values())
    if item is not None and item.get("difficulty"):
        totals.difficulties[item["difficulty"]] += 1
    for one in inner:
        if one.shared is None:  # else its completions are another solution's, and counted there
            counts = (one.correct, one.invalid, one.total - one.correct - one.invalid)
            totals.completions.update(dict(zip(("correct", "invalid", "incorrect"), counts, strict=True)))
            totals.saved += one.k - one.total
        if one.step >= 0 and one.total:
            totals.histogram[bin_of(one.correct / one.total)] += 1


def _entry(tree: Tree, places: Sequence[str]) -> Entry:
    return Entry(
        id=tree.id,
        text=tree.problem,
        tags=list(dict.fromkeys(tree.tags)),
        chip=(tree.difficulty or "finished" if tree.finished else "unfinished", ""),
        mark="",
        strip=[_CLASS.get(one.outcome, "unknown") for one in tree.samples[:_MARKED]],
        numbers=(tree.pass_at_1, len(tree.samples), len(tree.rows)),
        steps=0,
        detail={
            "problem": tree.problem,
            "meta": [["reference answer", tree.answer], ["Pass@1 of the completion model", _shown(tree.pass_at_1)]],
            "alone": _counts(tree.alone),
            "rows": [_shown_row(row) for row in tree.rows],
            "samples": [
                [one.id, _CLASS.get(one.outcome, "unknown"), one.reason, f"samples.jsonl:{one.line}"]
                for one in tree.samples
            ],
            "finished": tree.finished,
            "places": list(places),
        },
    )


def _shown_row(row: Row) -> dict[str, Any]:
    prefixes = [{"text": one.text, "counts": _counts(one.done)} for one in row.prefixes]
    return {"id": row.id, "answer": _CLASS.get(row.answer or "", "unknown"), "steps": prefixes}


def _counts(done: Rollout | None) -> list[int] | None:
    """Right completions, all, and those without an answer that can be read."""
    return None if done is None else [done.correct, done.total, done.invalid]


def _shown(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"
