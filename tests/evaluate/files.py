"""Results in files, for the tests of evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """A JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def sample(problem: str, predicted: str, right: bool, reward: float | list[float], **more: Any) -> dict[str, Any]:
    """A sample as best-of-n reads it, without id and without the problem's text."""
    steps = ["a step"] * (len(reward) if isinstance(reward, list) else 2)
    record = {"problem_id": problem, "steps": steps, "answer": "7", "predicted_answer": predicted}
    return {**record, "final_answer_correct": right, "reward": reward, **more}


def judged(name: str, label: int, rewards: Sequence[float | None], **more: Any) -> dict[str, Any]:
    """A labelled solution with a reward a step."""
    steps = [f"step {number}" for number in range(len(rewards))]
    return {"id": name, "problem": f"problem of {name}", "steps": steps, "label": label, "reward": rewards, **more}


def write_run(folder: Path, records: Sequence[Mapping[str, Any]], **item: Any) -> Path:
    """A run directory of records with a ``reward`` list, which may hold nulls."""
    solutions = [{name: value for name, value in record.items() if name != "reward"} for record in records]
    write(folder / "solutions.jsonl", solutions)
    items = [
        {"id": record["id"], "rewards": record["reward"], "predicted_label": -1, "settled": "all", "votes": 1, **item}
        for record in records
    ]
    write(folder / "items.jsonl", items)
    return folder
