"""A small run directory written as records, for the tests of the view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genprm.runs.configuration import Configuration

SOURCE = "beads = 12\nred = beads * 3\nprint(red)  # three for each\nprint('equal' if red == {claim} else 'differs')"


def turn(claim: int, printed: str, judgement: str, *, analysis: str = "", words: str = "") -> str:
    """One assistant turn in the released format."""
    analysis = analysis or f"The step says that 12 boxes of 3 beads are {claim} beads. Let me compute it."
    return (
        f"<analyze>\nLet's analyze the Paragraph 1 step by step: {analysis}\n</analyze>\n"
        "<verify>\nLet's use python code to find any potential error:\n```python\n"
        f"{SOURCE.format(claim=claim)}\n```\n[Code Output]\n\n```\n{printed}```\n{words}</verify>\n"
        f"<output>\n**Judgement**: $\\boxed{{{judgement}}}$\n</output>\n"
    )


def step(reward: float, claim: int = 36, *, printed: str | None = None, **more: Any) -> dict[str, Any]:
    """The record of one judged step."""
    judgement = "Yes" if reward >= 0.5 else "No"
    printed = printed if printed is not None else f"36\n{'equal' if claim == 36 else 'differs'}\n"
    return {
        "status": "judged", "mode": "code", "reward": reward, "p_yes": reward, "p_no": 1 - reward,
        "judgement": judgement, "rationale": turn(claim, printed, judgement, **more),
        "code": [{"source": SOURCE.format(claim=claim), "status": "ok", "output": printed}],
        "tokens": 181, "failure": None,
    }  # fmt: skip


def failed(failure: str) -> dict[str, Any]:
    """The record of a step that failed before a judgement."""
    return {
        "status": "failed", "mode": "code", "reward": None, "p_yes": None, "p_no": None, "judgement": None,
        "rationale": "<analyze>\nLet's analyze the Paragraph 2 step by step: and on and on", "code": [],
        "tokens": 2048, "failure": failure,
    }  # fmt: skip


def solution(name: str, steps: list[str], **more: Any) -> dict[str, Any]:
    """A solution record."""
    problem = "A jeweller fills 12 boxes with 3 red beads each. She sells 4 boxes. How many red beads are left?"
    return {"id": name, "problem": problem, "steps": steps, **more}


def item(name: str, rewards: list[float | None], label: int | None, votes: int) -> dict[str, Any]:
    """An item record."""
    status = ["judged" if reward is not None else "failed" for reward in rewards]
    known = None if None in rewards else rewards
    score = {"min": min(known) if known else None, "mean": None, "product": None, "last": rewards[-1]}  # type: ignore[type-var]
    return {
        "id": name, "rewards": rewards, "status": status, "predicted_label": label, "score": score,
        "settled": "all", "votes": votes, "failures": {},
    }  # fmt: skip


def vote(name: str, index: int, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """A vote record."""
    return {"key": f"{name}/{index}", "id": name, "vote": index, "seed": 7, "steps": steps}


def write(folder: Path, solutions: list[Any], votes: list[Any], items: list[Any]) -> Path:
    """The run directory."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in (("solutions", solutions), ("votes", votes), ("items", items)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    identity = {"engine": {"engine": "transformers", "model": "genprm-tiny"}, "mode": "code", "seed": 0}
    config = Configuration("verify", identity, {"votes": 2}, "in.jsonl")
    (folder / "config.yaml").write_text(config.dump(), encoding="utf-8")
    return folder


def example(folder: Path) -> Path:
    """Three solutions: a wrong one, a clean one, and one whose second step failed in a vote."""
    wrong = solution("beads-1", ["12 boxes of 3 beads are 32 beads.", "She keeps 8 boxes, so 24 beads."], label=0)
    clean = solution("beads-2", ["12 boxes of 3 beads are 36 beads.", "8 boxes are left, 24 beads."], label=-1)
    unsure = solution("beads-3", ["There are 36 beads.", "4 boxes hold 12, so 24 are left."], label=1)
    votes = [
        vote("beads-1", 0, [step(0.02, 32), step(0.4)]),
        vote("beads-1", 1, [step(0.11, 32), step(0.8)]),
        vote("beads-2", 0, [step(0.99), step(0.97)]),
        vote("beads-2", 1, [step(0.98), step(0.7)]),
        vote("beads-3", 0, [step(0.9), failed("budget")]),
        vote("beads-3", 1, [step(0.75), step(0.55)]),
    ]
    items = [
        item("beads-1", [0.065, 0.6], 0, 2),
        item("beads-2", [0.985, 0.835], -1, 2),
        item("beads-3", [0.825, 0.55], -1, 2),
    ]
    return write(folder, [wrong, clean, unsure], votes, items)
