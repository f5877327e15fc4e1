"""The command line on the scripted engine, so that its tests need no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genprm import engines
from genprm.engines import GenerationRequest, ScriptedEngine

PROBLEM = "Ann has 3 bags of 4 pears. She eats 2. How many are left?"


def judge(prompt: str, request: GenerationRequest) -> str:
    """A verifier that computes 3 * 4 - 2 and judges by what its code printed."""
    if prompt.endswith("step by step: "):
        return "The step multiplies.\n</analyze>\n"
    if prompt.endswith("```python\n"):
        return f"print({'12 == 13' if '3 * 4 = 13' in prompt.rpartition('<analyze>')[0] else '12 == 12'})\n```\n"
    judgement = "No" if prompt.rstrip("`\n").endswith("False") else "Yes"
    return f"</verify>\n<output>\n**Judgement**: $\\boxed{{{judgement}}}$\n</output>\n"


def probabilities(prompt: str, options: tuple[str, ...]) -> tuple[float, ...]:
    """Sure of what the code says."""
    wrong = prompt.rpartition("[Code Output]")[2].find("False") >= 0
    return tuple(-0.01 if option.strip().startswith("No" if wrong else "Yes") else -4.6 for option in options)


def use_scripted_engine(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Whatever model is asked for, the scripted judge answers."""

    def open_engine(kind: str, model: str, **_: Any) -> ScriptedEngine:
        return ScriptedEngine(judge, score=probabilities, **options)

    monkeypatch.setattr(engines, "open_engine", open_engine)


def write(path: Path, *records: Any) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def record(name: str, *steps: str, **more: Any) -> dict[str, Any]:
    """A solution record."""
    return {"id": name, "problem": PROBLEM, "steps": list(steps), **more}
