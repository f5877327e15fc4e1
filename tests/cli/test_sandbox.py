"""``--sandbox``: which one is taken, what a run records of it, and what happens when it is not there or goes away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from genprm import Solution, Verifier, engines
from genprm.cli import run
from genprm.engines import ScriptedEngine
from genprm.errors import SandboxUnavailable
from tests.cli import scripted
from tests.cli.scripted import record, use_scripted_engine, write
from tests.execution.engine import need_image
from tests.execution.proxy import engine_behind_a_door

NOBODY = "tcp://127.0.0.1:9"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12 pears.", "12 - 2 = 10 are left."))


def verify(data: Path, *more: str) -> int:
    return run(["verify", str(data), "--out", str(data.parent / "run"), "--votes", "1", *more])


def test_docker_without_an_engine_is_refused_before_a_model_is_loaded(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(engines, "open_engine", load)
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    assert verify(data, "--sandbox", "docker") == 3
    shown = capsys.readouterr()
    (sentence,) = shown.err.strip().splitlines()
    assert sentence.startswith("genprm: no Docker engine answers; start it") and "--sandbox local" in sentence
    assert not shown.out and not (data.parent / "run").exists()


def test_auto_without_an_engine_is_local_and_says_so(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_scripted_engine(monkeypatch)
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    assert verify(data) == 0
    assert "sandbox auto: local" in caplog.text
    assert configuration(data)["identity"]["sandbox"] == {"kind": "local"}


def configuration(data: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((data.parent / "run/config.yaml").read_text(encoding="utf-8")))


def test_a_run_on_docker_records_its_image_is_continued_and_replayed(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = need_image().digest
    use_scripted_engine(monkeypatch)
    assert verify(data, "--sandbox", "docker") == 0
    assert configuration(data)["identity"]["sandbox"] == {"kind": "docker", "image": digest}
    environment = json.loads((data.parent / "run/environment.json").read_text(encoding="utf-8"))
    assert environment["sandbox"]["image"] == digest
    assert verify(data, "--sandbox", "docker", "--votes", "2") == 0
    capsys.readouterr()
    assert verify(data, "--sandbox", "local") == 2
    assert "sandbox.kind (there docker, here local)" in capsys.readouterr().err
    assert run(["replay", str(data.parent / "run"), "--id", "a", "--step", "1", "--output", "False"]) == 0
    assert "now     No" in capsys.readouterr().out


def test_an_engine_that_stops_in_mid_run_costs_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was running is owed, nothing of it is scored, and the same call finishes it when the engine is back."""
    need_image()
    solutions = [Solution(scripted.PROBLEM, ("3 * 4 = 12 pears.", "3 * 4 = 13 pears."), id=str(n)) for n in range(12)]
    with engine_behind_a_door() as door:
        monkeypatch.setenv("DOCKER_HOST", door.place)

        def verifier() -> Verifier:
            engine = ScriptedEngine(scripted.judge, score=scripted.probabilities)
            return Verifier(engine=engine, votes=2, sandbox="docker", concurrency=4)

        with verifier() as verify, pytest.raises(SandboxUnavailable, match="votes are owed"):
            verify.verify_to_dir(solutions, tmp_path / "run", on_progress=lambda _: door.shut())
        lost = lines(tmp_path / "run/errors.jsonl")
        assert lost and {one["failure"] for one in lost} == {"sandbox"}
        assert all(step["status"] == "judged" for vote in lines(tmp_path / "run/votes.jsonl") for step in vote["steps"])
        assert any(item["predicted_label"] is None for item in lines(tmp_path / "run/items.jsonl"))
        door.open()
        with verifier() as verify:
            items = verify.verify_to_dir(solutions, tmp_path / "run").items
    assert [item.predicted_label for item in items] == [1] * len(solutions)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
