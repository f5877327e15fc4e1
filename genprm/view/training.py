"""The page of a policy training (raft, grpo): held-out solutions under each policy, and the reward beside the truth.

Where the reward of samples rises and their share of right answers does not, the policy has learned to please its judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from genprm.errors import InputError
from genprm.runs.directory import PROBLEMS
from genprm.view import reading
from genprm.view.bundle import Bundle, Entry
from genprm.view.frame import Tag, page

KINDS = ("raft", "grpo")
"""Trainings that have a page."""
POINTS = 24
"""Of the drawn curve; each is the mean over as many steps as it takes."""
_FACTS = (
    ("kind", "training"),
    ("model.base", "first policy"),
    ("reward.kind", "reward"),
    ("reward.model", "reward model"),
    ("reward.aggregation", "of its steps"),
    ("beta", "share of the process"),
    ("credit", "credit of steps"),
    ("iterations", "iterations"),
    ("max_steps", "steps"),
    ("optimizer.learning_rate", "learning rate"),
    ("seed", "seed"),
)
FILTERS = (
    Tag("mended", "Became right", "wrong under the first policy, right under the last"),
    Tag("spoiled", "Became wrong", "right under the first policy, wrong under the last"),
    Tag("right", "Right at the end"), Tag("wrong", "Wrong at the end"),
    Tag("invalid", "Invalid at the end", "its text has not the right format"),
)  # fmt: skip
SORTS = (("tokens", "Tokens at the end"),)
_SAMPLE = {"problem_id": str, "index": int, "outcome": str, "steps": list, "text": str, "tokens": int}
_FIGURES = {"accuracy": float | int, "reward": float | int | None}


@dataclass(frozen=True, slots=True)
class Point:
    """What the samples of a policy in training show."""

    at: int
    """Iteration, or the last of the steps that it is the mean of."""
    accuracy: float
    reward: float | None
    """What the reward model says, in the mean; ``None`` of a control."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points, and where they are drawn from."""

    file: str
    unit: str
    points: tuple[Point, ...]

    @property
    def ends(self) -> tuple[float, float]:
        """Of the axis."""
        values = [value for one in self.points for value in (one.accuracy, one.reward) if value is not None]
        return max(0.0, min(values) - 0.02), min(1.0, max(values) + 0.02)


def render(run_dir: Path, title: str, config: Mapping[str, Any], bundle: Bundle) -> str:
    """The page as text, its items in the bundle. Raises ``InputError``, for what was trained with labels too."""
    if config.get("kind") not in KINDS:
        raise InputError(
            f"{run_dir} holds the training of a verifier, which has no page; its curve is log/train.jsonl, its figures "
            "metrics.json, and genprm verify with its model makes a run that has one"
        )
    files = policies(run_dir, str(config["kind"]))
    bundle.extend(_entries(run_dir, files))
    bundle.finish()
    tags = [Tag(f"right-{number}", f"Right under policy {number}") for number in range(len(files))]
    return page(
        "training.html.jinja", title, config, _FACTS, bundle, what="held-out solutions", filters=FILTERS,
        tags=(*FILTERS, *tags), sorts=SORTS, policies=files, curve=curve(run_dir, config),
    )  # fmt: skip


def policies(run_dir: Path, kind: str) -> list[str]:
    """The files of held-out solutions that are there, one for each policy, the first one's first."""
    if kind == "grpo":
        return [name for name in ("heldout-before.jsonl", "heldout-after.jsonl") if (run_dir / name).exists()]
    names = (f"iteration-{number}/heldout.jsonl" for number in count())
    return list(takewhile(lambda name: (run_dir / name).exists(), names))


def curve(run_dir: Path, config: Mapping[str, Any]) -> Curve | None:
    """What the policy's samples showed on the problems that it was trained on; ``None`` before there are two points."""
    if config["kind"] == "grpo":
        file, unit, found = "log/train.jsonl", "step", _steps(run_dir)
    else:
        file, unit, found = "log/raft.jsonl", "iteration", _iterations(run_dir)
    if config.get("reward.kind") != "scorer":  # the reward of a control says nothing of a judge
        found = [replace(one, reward=None) for one in found]
    return Curve(file, unit, tuple(found)) if len(found) > 1 else None


def _steps(run_dir: Path) -> list[Point]:
    lines = {line.record["step"]: line.record for line in reading.records(run_dir, "log/train.jsonl", step=int)}
    known = [lines[step] for step in sorted(lines) if isinstance(lines[step].get("accuracy"), float | int)]
    size = max(1, -(-len(known) // POINTS))
    return [_mean(known[start : start + size]) for start in range(0, len(known), size)]


def _mean(lines: Sequence[Mapping[str, Any]]) -> Point:
    rewards = [line["process_reward"] for line in lines if isinstance(line.get("process_reward"), float | int)]
    accuracy = sum(line["accuracy"] for line in lines) / len(lines)
    return Point(lines[-1]["step"], accuracy, sum(rewards) / len(rewards) if rewards else None)


def _iterations(run_dir: Path) -> list[Point]:
    found = []
    for line in reading.records(run_dir, "log/raft.jsonl", iteration=int):
        sampled = line.record.get("sampled")
        if isinstance(sampled, dict) and all(isinstance(sampled.get(name), kind) for name, kind in _FIGURES.items()):
            found.append(Point(line.record["iteration"], sampled["accuracy"], sampled["reward"]))
    return found


def _entries(run_dir: Path, files: Sequence[str]) -> Iterator[Entry]:
    with reading.indices() as open_index:
        problems = open_index(run_dir, PROBLEMS, problem=str)
        solved = [open_index(run_dir, name, **_SAMPLE) for name in files]
        order = {id: place for place, id in enumerate(problems.ids())}
        given = sorted(solved[0].ids(), key=lambda id: order.get(id.rpartition("/")[0], len(order))) if solved else ()
        for id in given:
            lines = [one for index in solved if (one := index.last(id)) is not None]
            problem = problems.last(lines[0].record["problem_id"])
            places = [f"{name}:{line.number}" for name, line in zip(files, lines, strict=False)]
            places += [f"{PROBLEMS}:{problem.number}"] if problem else []
            yield _entry(id, {} if problem is None else problem.record, [line.record for line in lines], places)


def _entry(
    id: str, problem: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], places: Sequence[str]
) -> Entry:  # fmt: skip
    words = [_word(one["outcome"]) for one in samples]
    return Entry(
        id=id,
        text=str(problem.get("problem", "")),
        tags=list(_tags(words)),
        chip=(words[-1], {"right": "yes", "wrong": "no"}.get(words[-1], "")),
        mark="",
        strip=words,
        numbers=(samples[-1]["tokens"],),
        steps=0,
        detail={
            "problem": str(problem.get("problem", "")),
            "meta": [["reference answer", str(problem.get("answer", "–"))]],
            "policies": [
                {"right": word, "answer": str(one.get("predicted_answer") or "none"), "tokens": one["tokens"],
                 "steps": [str(step) for step in one["steps"]] or [one["text"]]}
                for word, one in zip(words, samples, strict=True)
            ],
            "places": list(places),
        },
    )  # fmt: skip


def _tags(words: Sequence[str]) -> Iterator[str]:
    yield words[-1] if words[-1] == "right" else "wrong"
    if words[-1] == "invalid":
        yield "invalid"
    if len(words) > 1 and (words[0] == "right") != (words[-1] == "right"):
        yield "mended" if words[-1] == "right" else "spoiled"
    for number, word in enumerate(words):
        if word == "right":
            yield f"right-{number}"


def _word(outcome: str) -> str:
    return {"correct": "right", "incorrect": "wrong"}.get(outcome, "invalid")
