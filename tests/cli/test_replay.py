"""``genprm replay``: one step again, the run untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from genprm.cli import run
from tests.cli.scripted import record, use_scripted_engine, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    use_scripted_engine(monkeypatch)
    source = write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12 pears.", "12 - 2 = 10 are left."))
    assert run(["verify", str(source), "--out", str(tmp_path / "run"), "--votes", "1"]) == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_another_code_output_is_shown_to_the_model_and_changes_its_mind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(["replay", str(folder), "--id", "a", "--step", "1", "--output", "False"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("step 1 of vote 0 of a, with another code output:\n") and "```\nFalse\n```" in shown
    assert "before  Yes    reward 0.99" in shown and "now     No     reward 0.01" in shown
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_another_output_the_step_comes_out_as_it_was(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(folder), "--id", "a"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("step 0 of vote 0 of a, as it was:\n")
    assert "before  Yes    reward 0.99" in shown and "now     Yes    reward 0.99" in shown


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--id", "b"], "no solution 'b'"),
        (["--id", "a", "--vote", "7"], "vote 7"),
        (["--id", "a", "--step", "9"], "step 9"),
    ],
)
def test_what_is_not_there_is_named(
    folder: Path, more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(folder), *more]) == 2
    assert words in capsys.readouterr().err


def test_another_step_text_is_judged_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(["replay", str(folder), "--id", "a", "--step", "1", "--text", "12 - 2 = 11 are left."]) == 0
    assert "before  Yes" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert run(["replay", str(folder), "--id", "a", "--problem", "p", "--output", "False"]) == 2
    assert "nothing of it stands" in capsys.readouterr().err
