"""``genprm search``: it solves, says what it found, and refuses what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm import engines
from genprm.cli import run
from genprm.engines import ScriptedEngine
from genprm.records import write_lines
from genprm.rollout.problems import problem_to_dict
from tests.cli.scripted import judge, probabilities
from tests.rollout import policies


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Problems in a file; a policy and a verifier that are scripted."""

    def open_engine(kind: str, model: str, **_: object) -> ScriptedEngine:
        return policies.engine() if model == "solver" else ScriptedEngine(judge, score=probabilities, name="judge")

    monkeypatch.setattr(engines, "open_engine", open_engine)
    path = tmp_path / "in.jsonl"
    write_lines(path, map(problem_to_dict, policies.problems(4).problems))
    return path


def search(given: Path, out: Path, *options: str) -> int:
    base = ["search", str(given), "--out", str(out), "--policy", "solver", "--max-tokens", "400", "--sandbox", "local"]
    return run([*base, *options])


def test_it_searches_says_so_and_goes_on(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--strategy", "beam", "--n", "4", "--branch", "2")
    assert search(given, tmp_path / "out", *options, "--limit", "2") == 0
    shown = capsys.readouterr()
    assert "2 of 2 problems have an answer" in shown.out and "tokens of the policy" in shown.out
    assert "first prompt: p0" in shown.err and "first solution to be taken" in shown.err
    assert search(given, tmp_path / "out", *options) == 0
    assert "2 problems were searched before" in capsys.readouterr().out
    assert len((tmp_path / "out/items.jsonl").read_text().splitlines()) == 4
    assert run(["evaluate", "best-of-n", str(tmp_path / "out/candidates"), "--n", "1"]) == 0


def test_progress_can_be_had_as_json(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(given, tmp_path / "out", "--n", "2", "--log-json") == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [one["event"] for one in events if one["event"] != "log"] == ["prompt", *["problem"] * 4]


def test_a_dry_run_writes_nothing(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(given, tmp_path / "out", "--strategy", "dvts", "--dry-run") == 0
    assert "2 trees, 1 prefixes of each go on, 4 draws behind each" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work", encoding="utf-8")
    assert search(given, tmp_path / "thesis", "--dry-run") == 2
    assert "is not empty and holds no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n", "0"), "n is 0; it must be at least 1"),
        (("--strategy", "beam", "--n", "6"), "n must be a multiple of branch"),
        (("--threshold", "2"), "threshold is 2.0; rewards lie between 0 and 1"),
        (("--budget", "0"), "budget is 0; it must be at least 1"),
        (("--branch", "2"), "--strategy best-of-n does not look at --branch"),
        (("--strategy", "beam", "--tries", "2", "--threshold", "0.4"), "does not look at --threshold and --tries"),
        (("--policy-option", "x"), "--policy-option is 'x'"),
        (("--replicas", "2"), "need a cluster; add --ray local"),
        (("--scorer", "nothing"), "there is no scorer 'nothing'"),
        (("--scorer", "er-prm", "--votes", "2"), "leave out --votes, --sandbox, or say --scorer generative"),
        (("--limit", "0"), "limit is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert search(given, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
