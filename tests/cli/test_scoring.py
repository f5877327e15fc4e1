"""``genprm verify`` with a discriminative model leaves a run directory that evaluate and view read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from genprm.cli import run
from genprm.stepformats import write_reading
from tests.cli.scripted import record, write
from tests.engines.models import save_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = save_model(tmp_path / "model", seed=6, context=512)
    write_reading(folder, "token", "math-shepherd")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    long = record("long", "3 * 4 = 12.", "1 2 3 4 5 6 7 8 9 " * 60, "So 10.", label=-1)
    return write(tmp_path / "in.jsonl", record("a", "3 * 4 = 13.", "13 - 2 = 11.", label=0), long)


def verify(data: Path, model: Path, *more: str) -> int:
    return run(["verify", str(data), "--out", str(data.parent / "run"), "--model", str(model), *more])


def items(data: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (data.parent / "run/items.jsonl").read_text(encoding="utf-8").splitlines()]


def test_it_is_evaluated_viewed_and_continued(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, model, "--limit", "1") == 0
    assert verify(data, model) == 0
    assert "1 solutions were scored before" in capsys.readouterr().out
    first, long = items(data)
    assert first["votes"] == 1 and first["status"] == ["judged", "judged"] and first["settled"] == "all"
    assert (long["status"], long["failures"]) == (["judged", "failed", "not_run"], {"context": 1})
    assert long["rewards"][1:] == [None, None] and long["score"]["min"] is None  # type: ignore[index]
    assert run(["evaluate", "processbench", str(data.parent / "run")]) == 0
    assert "2 solutions with a label" in capsys.readouterr().out
    assert run(["view", str(data.parent / "run")]) == 0


def test_another_model_or_reading_is_another_run(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = data.parent / "bare"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("scorer.json"))
    assert verify(data, bare, "--scorer", "math-shepherd") == 0
    assert verify(data, bare, "--scorer", "er-prm") == 2
    assert "format (there math-shepherd, here er-prm)" in capsys.readouterr().err


def test_what_cannot_be_read_so_is_refused(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, model, "--scorer", "none") == 2
    assert "there is no scorer 'none'" in capsys.readouterr().err
    assert verify(data, model, "--scorer", "er-prm") == 2
    assert "scorer.json that it is read as ('token', 'math-shepherd'), not as" in capsys.readouterr().err
    (model / "scorer.json").unlink()
    assert verify(data, model, "--scorer", "qwen-prm") == 2
    assert "lacks the weights score.0.bias" in capsys.readouterr().err
    assert not (data.parent / "run").exists()


def test_a_critic_is_a_model_that_writes_and_an_outcome_is_the_last_reward(
    data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(data.parent / "run"), "--policy", "policy-tiny"]
    assert run(["critique", str(data), *out, "--model", str(model)]) == 2
    assert "is a discriminative model (scorer.json says token): it writes no critique" in capsys.readouterr().err
    (model / "scorer.json").write_text('{"kind": "orm", "format": "math-shepherd"}')
    assert run(["search", str(data), *out, "--model", str(model)]) == 2
    assert "is an outcome model" in (said := capsys.readouterr().err) and "take the score 'last', not 'min'" in said
    assert not (data.parent / "run").exists()


def test_a_dry_run_writes_nothing(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, model, "--dry-run") == 0
    assert "one pass over each solution" in capsys.readouterr().out
    assert not (data.parent / "run").exists()


def test_options_about_votes_are_refused(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, model, "--votes", "4", "--mode", "code", "--no-execute") == 2
    said = capsys.readouterr().err
    assert "leave out --votes, --mode, --no-execute" in said and not (data.parent / "run").exists()
