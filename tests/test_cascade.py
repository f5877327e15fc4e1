"""A cascade spends on what is unsure, and every verdict is of one mode."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from genprm import Solution, Verifier
from genprm.cascade import unsure, verify_in_cascade
from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.errors import IdentityError, InputError
from genprm.evaluate import evaluate_run
from genprm.records import Loaded, read_lines
from genprm.types import Mode
from tests.verify import scripts

SURE_FROM = {"easy": 0, "medium": 1, "hard": 2}


def write(prompt: str, request: GenerationRequest) -> str:
    return "{Yes}$\n" if prompt.endswith("$\\boxed") else scripts.write(prompt, request)


def score(prompt: str, options: tuple[str, ...]) -> list[float]:
    """Sure of its Yes once it has thought as much as the step's first word asks for."""
    turn = prompt.rpartition("<analyze>")[2] if "<analyze>" in prompt else ""
    thought = 2 if "[Code Output]" in turn else 1 if turn else 0
    word = prompt.rpartition("kind: ")[2].split()[0]
    p = 0.99 if thought >= SURE_FROM[word] else 0.6
    return [math.log(p if option == "Yes" else 1 - p) for option in options]


def solution(kind: str, number: int) -> Solution:
    return Solution(
        "Sums", (f"kind: {kind} 1 + 1 = 2", f"kind: {kind} 2 + 2 = 4"), id=f"{kind}{number}", label=-(number % 2)
    )


SOLUTIONS = tuple(solution(kind, number) for number in range(3) for kind in SURE_FROM)


def run(out: Path, solutions: tuple[Solution, ...] = SOLUTIONS, settle: Any = "all", **options: Any) -> Any:
    def opened(mode: Mode) -> Verifier:
        engine = ScriptedEngine(write, score=score)
        return Verifier(engine=lambda: engine, mode=mode, votes=2, sandbox="local", settle=settle)

    return verify_in_cascade(Loaded(solutions), out, opened, **options)


def test_each_solution_is_verified_until_a_mode_is_sure(tmp_path: Path) -> None:
    found = run(tmp_path / "run")
    assert found.decided == {"direct": 3, "analyze": 3, "code": 3}
    assert [item["id"] for item in found.items] == [one.id for one in SOLUTIONS]
    assert {item["id"]: item["mode"] for item in found.items}["medium1"] == "analyze"
    seen = {mode: {line["id"][:-1] for _, line in read_lines(tmp_path / "run" / mode / "votes.jsonl")} for mode in
            ("direct", "analyze", "code")}  # fmt: skip
    assert seen == {"direct": {"easy", "medium", "hard"}, "analyze": {"medium", "hard"}, "code": {"hard"}}


def test_the_folder_is_a_run_that_others_read(tmp_path: Path) -> None:
    run(tmp_path / "run")
    assert evaluate_run(tmp_path / "run").maj.correct_accuracy.value == 100
    assert json.loads((tmp_path / "run/metrics.json").read_text())["decided"]["code"] == 3


def test_a_cascade_goes_on_where_it_was_and_takes_more_solutions(tmp_path: Path) -> None:
    run(tmp_path / "run", SOLUTIONS[:4])
    more = run(tmp_path / "run")
    assert more.items == run(tmp_path / "whole").items
    votes = [(tmp_path / "run" / mode / "votes.jsonl").read_text().count("\n") for mode in ("direct", "code")]
    assert votes == [18, 6]


def test_an_interrupted_cascade_keeps_the_verdicts_of_the_run_before(tmp_path: Path) -> None:
    """What a cheap mode says of a solution that is to go on is no verdict."""
    run(tmp_path / "run", SOLUTIONS[:4])
    before = (tmp_path / "run/items.jsonl").read_bytes()

    def interrupt(mode: Mode, _: object) -> None:
        if mode == "analyze":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(tmp_path / "run", on_progress=interrupt)
    assert (tmp_path / "run/items.jsonl").read_bytes() == before
    run(tmp_path / "run")
    assert len(list(read_lines(tmp_path / "run/items.jsonl"))) == len(SOLUTIONS)


def test_what_decides_who_goes_on_is_identity(tmp_path: Path) -> None:
    run(tmp_path / "run", SOLUTIONS[:1])
    with pytest.raises(IdentityError, match=r"cascade\.settle \(there all, here labels\)"):
        run(tmp_path / "run", SOLUTIONS[:1], settle="labels")


def test_another_margin_is_another_run(tmp_path: Path) -> None:
    run(tmp_path / "run", SOLUTIONS[:1])
    with pytest.raises(IdentityError, match=r"cascade\.margin \(there 0\.1, here 0\.3\)"):
        run(tmp_path / "run", SOLUTIONS[:1], margin=0.3)
    with pytest.raises(InputError, match=r"margin is 0\.5; it must be at least 0 and below 0\.5"):
        run(tmp_path / "other", margin=0.5)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("rewards", "answer"),
    [([0.95, 0.99], False), ([0.95, 0.6], True), ([0.95, None], True), ([0.05, 0.5], False), ([0.6, 0.05], True)],
)
def test_what_the_verdict_does_not_rest_on_need_not_be_sure(rewards: list[float | None], answer: bool) -> None:
    assert unsure(rewards, 0.1) is answer
