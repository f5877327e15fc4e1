"""``genprm rollout`` on the scripted engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genprm import engines
from genprm.cli import run
from genprm.engines import ScriptedEngine
from genprm.rollout.problems import problem_to_dict
from tests.cli.scripted import write
from tests.rollout import policies

OPTIONS = ["--model", "solver", "--samples", "8", "--k", "4", "--max-tokens", "400"]


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_engine(kind: str, model: str, **_: Any) -> ScriptedEngine:
        return policies.engine()

    monkeypatch.setattr(engines, "open_engine", open_engine)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(write(tmp_path / "in.jsonl", *map(problem_to_dict, policies.problems(3).problems)))


def test_a_run_shows_its_first_prompt_and_solution_and_is_continued(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rollout", source, "--out", str(tmp_path / "run"), *OPTIONS]
    assert run(command) == 0
    shown = capsys.readouterr()
    assert "first prompt: p0, a solution" in shown.err and "first solution to be ready: p" in shown.err
    assert shown.err.index("first prompt") < shown.err.index("first solution")
    assert "3 problems" in shown.out and "completions of" in shown.out and "rollouts.jsonl" in shown.out
    before = (tmp_path / "run/rollouts.jsonl").read_bytes()
    assert run(command) == 0
    assert "were finished before" in capsys.readouterr().out
    assert (tmp_path / "run/rollouts.jsonl").read_bytes() == before
    assert run(["rollout", source, "--out", str(tmp_path / "run"), *OPTIONS, "--seed", "1"]) == 2
    assert "seed (there 0, here 1)" in capsys.readouterr().err


def test_its_solutions_go_in_again(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollout", source, "--out", str(tmp_path / "run"), *OPTIONS]) == 0
    selected = str(tmp_path / "run/selected.jsonl")
    again = ["rollout", selected, "--out", str(tmp_path / "more"), *OPTIONS, "--adaptive", "hard", "--log-json"]
    capsys.readouterr()
    assert run(again) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {event["event"] for event in events} >= {"prompt", "rollout"}
    assert not (tmp_path / "more/samples.jsonl").exists()
    # Not even the answers of the solutions change.
    assert (tmp_path / "more/selected.jsonl").read_bytes() == (tmp_path / "run/selected.jsonl").read_bytes()


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["rollout", source, "--out", str(out), "--model", "solver", "--dry-run", "--k-by-difficulty", "128,64,32"]
    assert run([*command, "--keep", "2"]) == 0
    shown = capsys.readouterr().out
    assert "96 to 384 solutions sampled, at most 6 kept" in shown
    assert "1728 to 5760 completions, 2048 tokens at most each: 12,582,912 tokens at most" in shown
    assert "nothing was loaded or written" in shown and not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--k", "4", "--k-by-difficulty", "3,2,1"], "--k and --k-by-difficulty are both given; give one of them"),
        (["--k-by-difficulty", "3,2"], "--k-by-difficulty is '3,2'; it must be three numbers, such as 128,64,32"),
        (["--adaptive", "rpe"], "there is no stop rule 'rpe'; the rules are hard, soft"),
        (["--samples", "0"], "'initial' is 0; it must be at least 1"),
        (["--max-samples", "4", "--samples", "8"], "at most 4 samples leave no room for 8 initial ones"),
        (["--replicas", "2"], "--replicas and --gpus-per-replica need a cluster"),
        (["--temperature", "-1"], "temperature must be 0"),
        (["--max-tokens", "0"], "max_tokens is 0"),
    ],
)
def test_an_option_that_means_nothing_is_one_sentence_and_nothing_is_written(
    options: list[str], message: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rollout", source, "--out", str(tmp_path / "run"), "--model", "solver", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_an_input_that_is_none_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollout", "gsm9k", "--out", str(tmp_path / "run"), "--model", "solver"]) == 2
    assert "there is no file or data set 'gsm9k'" in capsys.readouterr().err
