"""The command line as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from genprm.cli import console, run
from genprm.records import read_solutions
from genprm.rollout.problems import read_given
from tests.cli.scripted import record, write
from tests.conftest import REPOSITORY

VERBS = {
    "compare",
    "critique",
    "demo",
    "evaluate",
    "verify",
    "rollout",
    "curate",
    "run",
    "search",
    "train",
    "view",
    "replay",
    "lab",
    "sandbox",
}


def test_help_fits_one_screen_and_lists_what_is_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    listed = {
        line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line[2:3].isalpha() and "  " in line[2:]
    }
    assert listed == VERBS


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    assert f"genprm {verb}" in capsys.readouterr().out


def test_an_unknown_verb_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["levitate"]) == 2
    assert "levitate" in capsys.readouterr().err


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert (run(["--version"]), capsys.readouterr().out) == (0, f"genprm {version('genprm')}\n")


def test_what_no_terminal_shows_has_whole_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console.out().print("100.0 [100.0, 100.0] " * 8)
    assert capsys.readouterr().out.count("\n") == 1


def test_the_lab_prints_records_that_verify_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "--limit", "6", "--split", "test", "--json"]) == 0
    (tmp_path / "lab.jsonl").write_text(capsys.readouterr().out, encoding="utf-8")
    solutions = read_solutions(str(tmp_path / "lab.jsonl")).solutions
    assert len(solutions) == 6 and {solution.label for solution in solutions} != {-1}


def test_the_lab_shows_the_truth_of_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "--limit", "12", "--held-out"]) == 0
    shown = capsys.readouterr().out
    assert "no error" in shown and "new error" in shown and "answer" in shown


def test_the_lab_makes_problems_that_a_rollout_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "--problems", "5", "--split", "curate", "--out", str(tmp_path / "made")]) == 0
    given = read_given(str(tmp_path / "made/problems.jsonl"))
    assert len(given.problems) == 5 and all(problem.extra["world"]["split"] == "curate" for problem in given.problems)
    for line in (["--problems", "5"], ["--out", "there"], ["a-run", "--out", "there"], ["--truth", "p.jsonl"]):
        capsys.readouterr()
        assert run(["lab", *line]) == 2
        assert "together" in capsys.readouterr().err


SLOW = """
import asyncio, sys, time
from genprm import cli, engines
from tests.cli.scripted import judge, probabilities
def slow(prompt, request):
    time.sleep(0.2)
    return judge(prompt, request)
engines.open_engine = lambda kind, model, **_: engines.ScriptedEngine(slow, score=probabilities)
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize("words", [[], ["sandbox"]], ids=["genprm", "genprm sandbox"])
def test_without_a_verb_the_verbs_are_listed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("Usage: genprm") or shown[1].strip().startswith("Usage: genprm")
    assert len(shown) > 8


STOPS = {"ctrl-c": [signal.SIGINT], "ctrl-c twice": [signal.SIGINT] * 2, "a scheduler": [signal.SIGTERM]}


@pytest.mark.parametrize("signals", STOPS.values(), ids=STOPS)
def test_a_run_that_is_stopped_keeps_what_is_finished_and_says_how_to_go_on(
    signals: list[signal.Signals], tmp_path: Path
) -> None:
    source = write(tmp_path / "in.jsonl", *(record(f"r{number}", "3 * 4 = 12") for number in range(30)))
    arguments = ["verify", str(source), "--out", str(tmp_path / "run"), "--votes", "1", "--mode", "analyze"]
    command = [sys.executable, "-c", SLOW, *arguments, "--max-in-flight", "1"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )  # fmt: skip
    votes = tmp_path / "run/votes.jsonl"
    deadline = time.monotonic() + 60
    while not (votes.exists() and votes.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    for sent in signals:
        process.send_signal(sent)
        time.sleep(0.05)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "run the same command again to continue" in error and "Traceback" not in error
    finished = [json.loads(line) for line in votes.read_text(encoding="utf-8").splitlines()]
    assert 0 < len(finished) < 30
    assert len(json.loads((tmp_path / "run/metrics.json").read_text())["steps"]) > 0 or len(signals) > 1


LOADS_LONG = """
import sys, time
from genprm import cli, engines
engines.open_engine = lambda kind, model, **_: print("loading", flush=True) or time.sleep(60)
cli.main(sys.argv[1:])
"""


def test_ctrl_c_while_the_model_loads_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", record("a", "3 * 4 = 12"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [
        sys.executable,
        "-c",
        LOADS_LONG,
        "verify",
        str(source),
        "--out",
        str(tmp_path / "run"),
        "--sandbox",
        "local",
    ]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "loading\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, time.monotonic() - started < 20) == (130, True), error
    assert "Task was destroyed" not in error and "Traceback" not in error
    assert not list(temporary.iterdir()) and not (tmp_path / "run").exists()
