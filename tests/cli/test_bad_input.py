"""Bad input through the command line: one sentence with file, line, field and remedy; exit 2; nothing written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from genprm import engines
from genprm.cli import run
from genprm.errors import EngineUnavailable, SandboxUnavailable
from tests.cli.scripted import record, use_scripted_engine, write

GOOD = json.dumps(record("a", "3 * 4 = 12")).encode() + b"\n"

FILES = {
    "missing": (None, ("in.jsonl", "no such file", "check the path")),
    "empty": (b"", ("in.jsonl", "empty", "at least one record")),
    "blank": (b"\n\n", ("in.jsonl", "empty")),
    "not utf-8": (GOOD + b'{"problem": "\xff"}\n', ("in.jsonl, line 2", "UTF-8")),
    "not json": (GOOD + b"{nonsense\n", ("in.jsonl, line 2", "not JSON")),
    "not an object": (b"[1, 2]\n", ("in.jsonl, line 1", "not an object")),
    "no steps in list": (b'{"id": "a", "problem": "p", "steps": []}\n', ("in.jsonl, line 1", "'steps'")),
    "step not text": (b'{"id": "a", "problem": "p", "steps": ["x", 3]}\n', ("in.jsonl, line 1", "'steps")),
    "blank step": (b'{"id": "a", "problem": "p", "steps": ["x", "  "]}\n', ("in.jsonl, line 1", "step 1 is empty")),
    "empty problem": (b'{"id": "a", "problem": " ", "steps": ["x"]}\n', ("in.jsonl, line 1", "'problem'")),
    "duplicate id": (GOOD + GOOD, ("in.jsonl, line 2", "'id'", "line 1")),
    "no solution": (b'{"id": "a", "problem": "p"}\n', ("in.jsonl, line 1", "steps")),
}

OPTIONS = {
    "votes 0": (["--votes", "0"], ("votes is 0", "at least 1")),
    "unknown engine": (["--engine", "warp"], ("'warp'", "transformers")),
    "engine option": (["--engine-option", "base_url"], ("'base_url'", "NAME=VALUE")),
    "unknown engine option": (["--engine-option", "warp=9"], ("'warp'", "context_length")),
    "unknown mode": (["--mode", "telepathy"], ("--mode", "code-only")),
    "unknown sandbox": (["--sandbox", "bucket"], ("--sandbox", "local")),
    "history": (["--history", "last"], ("'last'", "last-K")),
    "temperature": (["--temperature", "-1"], ("temperature",)),
    "top-p": (["--top-p", "0"], ("top_p",)),
    "limit 0": (["--limit", "0"], ("limit is 0",)),
    "in flight": (["--max-in-flight", "0"], ("concurrency (--max-in-flight) is 0",)),
    "no such option": (["--vote", "3"], ("--vote", "--help")),
}


def refused(arguments: list[str], folder: Path, words: Iterable[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The command is refused with one sentence that holds the words, and the folder stays as it is."""
    before = sorted(folder.rglob("*"))
    assert run(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("genprm: ") and len([line for line in error if line.startswith("genprm: ")]) == 1
    assert not any("first prompt" in line for line in error), "a refusal must not hide below a long prompt"
    for word in words:
        assert word in error[-1], (word, error[-1])
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = FILES[case]
    if content is not None:
        (tmp_path / "in.jsonl").write_bytes(content)
    refused(["verify", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "run")], tmp_path, words, capsys)


@pytest.mark.parametrize("case", OPTIONS)
def test_a_bad_option_is_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.jsonl").write_bytes(GOOD)
    more, words = OPTIONS[case]
    refused(["verify", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "run"), *more], tmp_path, words, capsys)


def test_a_model_folder_without_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.jsonl").write_bytes(GOOD)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    arguments = [
        "verify",
        str(tmp_path / "in.jsonl"),
        "--out",
        str(tmp_path / "run"),
        "--model",
        str(tmp_path / "model"),
    ]
    refused(arguments, tmp_path, ("model", "no weights"), capsys)


def test_a_problem_and_step_longer_than_the_context_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_scripted_engine(monkeypatch, context_length=400)
    source = write(tmp_path / "in.jsonl", record("a", "short"), record("b", "long " * 200))
    words = ("in.jsonl, line 2", "'steps'", "400", "shorten")
    refused(["verify", str(source), "--out", str(tmp_path / "run")], tmp_path, words, capsys)


def test_a_folder_with_another_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_scripted_engine(monkeypatch)
    source = write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12"))
    arguments = ["verify", str(source), "--out", str(tmp_path / "run"), "--votes", "1", "--mode", "analyze"]
    assert run(arguments) == 0
    capsys.readouterr()
    refused([*arguments, "--seed", "5"], tmp_path, ("seed", "there 0", "here 5", "another --out"), capsys)


def test_a_folder_with_other_things_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_scripted_engine(monkeypatch)
    source = write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").write_text("years", encoding="utf-8")
    refused(["verify", str(source), "--out", str(tmp_path / "home")], tmp_path, ("not empty",), capsys)


def test_a_refusal_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = json.dumps(record("\x1b[2J\x1b]0;x\x07", "3 * 4 = 12")).encode() + b"\n"
    (tmp_path / "in.jsonl").write_bytes(line + line)
    assert run(["verify", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "line 2" in error and "\x1b" not in error and "\x07" not in error


def test_an_unknown_recipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["train", "nowhere.yaml", "--out", str(tmp_path / "run")], tmp_path, ("nowhere.yaml",), capsys)


@pytest.mark.parametrize("verb", [["evaluate", "processbench"], ["evaluate", "best-of-n"], ["compare"]])
def test_a_negative_seed_of_intervals_is_refused(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12"))
    refused([*verb, str(path), str(path), "--seed", "-1"], tmp_path, ("--seed", "0"), capsys)


@pytest.mark.parametrize("error", [EngineUnavailable, SandboxUnavailable])
def test_infrastructure_that_is_down_is_exit_code_3(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def down(kind: str, model: str) -> None:
        raise error("it is down; start it")

    monkeypatch.setattr(engines, "open_engine", down)
    source = write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12"))
    assert run(["verify", str(source), "--out", str(tmp_path / "run")]) == 3
    assert capsys.readouterr().err.strip().endswith("genprm: it is down; start it")
    assert not (tmp_path / "run").exists()
