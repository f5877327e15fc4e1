"""``genprm critique``: it runs, says what it found, and refuses what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm import engines
from genprm.cli import run
from genprm.engines import ScriptedEngine
from genprm.records import solution_to_dict, write_lines
from tests.critique import sums


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Solutions in a file; a verifier and a policy that are scripted."""

    def open_engine(kind: str, model: str, **_: object) -> ScriptedEngine:
        return sums.solver() if model == "solver" else sums.checker()

    monkeypatch.setattr(engines, "open_engine", open_engine)
    path = tmp_path / "in.jsonl"
    write_lines(path, map(solution_to_dict, sums.given(6).solutions))
    return path


def critique(given: Path, out: Path, *options: str) -> int:
    base = ["critique", str(given), "--out", str(out), "--policy", "solver", "--sandbox", "local", "--votes", "2"]
    return run([*base, "--max-tokens", "200", *options])


def test_it_refines_and_says_so(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert critique(given, tmp_path / "out", "--rounds", "2", "--refinements", "3") == 0
    said = capsys.readouterr().out
    assert "33.3 %" in said and "refined.jsonl" in said
    rounds = json.loads((tmp_path / "out/metrics.json").read_text())["rounds"]
    assert f"{sum(one['invalid'] for one in rounds)} times a new solution was invalid (why: " in said
    refined = [json.loads(line) for line in (tmp_path / "out/refined.jsonl").read_text().splitlines()]
    assert len(refined) == 6 and all("label" not in one for one in refined)


def test_a_dry_run_writes_nothing(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert critique(given, tmp_path / "out", "--dry-run") == 0
    assert "at most 18 solutions written" in capsys.readouterr().out and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rounds", "0"), "rounds is 0; it must be at least 1"),
        (("--critic", "oracle"), "has no 'label', which critic oracle reads"),
        (("--critic", "oracle", "--dry-run"), "has no 'label', which critic oracle reads"),
        (("--score", "mean"), "--score decides between solutions: add --refinements 2 or more"),
        (("--policy-option", "x"), "--policy-option is 'x'; it must be NAME=VALUE"),
        (("--replicas", "2"), "need a cluster; add --ray local"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert critique(given, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
