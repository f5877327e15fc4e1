"""The whole chain on real solutions: a verifier that knows the truth has it all, one that knows nothing has nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from genprm import engines
from genprm.cli import run as genprm
from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.records import read_lines
from tests.conftest import shared_data
from tests.evaluate.files import write

MARK = "Number of the solution: "
"""Before the id of a solution in its problem: some wrong steps have the very text of the step that they replace, so no
verifier could know them by what it reads."""
Judge = Callable[[str], str]
"""Yes or No, to the prompt of a step."""


def test_a_perfect_verifier_has_all_and_a_constant_one_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for _, row in read_lines(shared_data("prmbench/counterfactual.jsonl"))]
    data = write(tmp_path / "in.jsonl", [{**row, "problem": f"{row['problem']}\n{MARK}{row['id']}"} for row in rows])
    truth = {row["id"]: row["error_steps"] for row in rows}

    def knowing(prompt: str) -> str:
        id, step = asked(prompt)
        return "No" if step in truth[id] else "Yes"

    perfect = chain(data, tmp_path / "perfect", knowing, monkeypatch)
    assert perfect == {"f1": 100, "error_accuracy": 100, "correct_accuracy": 100, "unknown": 0, "prm_score": 100}
    for judge, accepted in ((lambda prompt: "Yes", 100), (lambda prompt: "No", 0)):
        constant = chain(data, tmp_path / str(accepted), judge, monkeypatch, "--limit", "100")
        assert (constant["f1"], constant["correct_accuracy"], constant["unknown"]) == (0, accepted, 0)
        assert constant["prm_score"] < 50
    assert "532 solutions with a label" in capsys.readouterr().out


def chain(
    data: Path, folder: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch, *options: str
) -> Mapping[str, float]:
    """What the command line says of a verifier."""
    monkeypatch.setattr(engines, "open_engine", lambda *_, **__: scripted(judge))
    verify = ["verify", str(data), "--out", str(folder), "--model", "judge", "--mode", "direct", "--votes", "1"]
    assert genprm([*verify, "--sandbox", "local", *options]) == 0
    for bench in ("processbench", "prmbench"):
        assert genprm(["evaluate", bench, str(folder), "--out", str(folder / f"{bench}.json")]) == 0
    (subset,) = json.loads((folder / "processbench.json").read_text())["runs"][0]["subsets"].values()
    steps = json.loads((folder / "prmbench.json").read_text())["runs"][0]["overall"]
    named = {name: subset["maj"][name]["value"] for name in ("f1", "error_accuracy", "correct_accuracy")}
    return {**named, "unknown": subset["maj"]["unknown"], "prm_score": steps["prm_score"]["value"]}


def scripted(judge: Judge) -> ScriptedEngine:
    def answer(prompt: str, request: GenerationRequest) -> str:
        return f"{{{judge(prompt)}}}$\n</output>\n"

    def score(prompt: str, options: tuple[str, ...]) -> list[float]:
        word = judge(prompt)
        return [math.log(0.9 if option.strip("{") == word else 0.05) for option in options]

    return ScriptedEngine(answer, score=score)


def asked(prompt: str) -> tuple[str, int]:
    """The solution and the step that a prompt asks about."""
    return prompt.partition(MARK)[2].partition("\n")[0], prompt.count("\nuser\n") - 1
