"""``genprm verify``: what it writes, says and continues."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from genprm.cli import run
from tests.cli.scripted import record, use_scripted_engine, write


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_scripted_engine(monkeypatch)
    clean = record("clean", "3 * 4 = 12 pears.", "12 - 2 = 10 are left.", label=-1)
    wrong = record("wrong", "3 * 4 = 13 pears.", label=0, colour="kept")
    return write(tmp_path / "in.jsonl", clean, wrong)


def verify(data: Path, *more: str) -> int:
    return run(["verify", str(data), "--out", str(data.parent / "run"), "--votes", "2", *more])


def test_a_run_prints_a_table_and_leaves_a_run_directory(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data) == 0
    shown = capsys.readouterr()
    assert "2 solutions, 4 votes" in shown.out and "2 of 2 first errors equal the label" in shown.out
    assert "100.0 % of 6 code rounds ran without error" in shown.out
    items = [json.loads(line) for line in (data.parent / "run/items.jsonl").read_text().splitlines()]
    assert [item["predicted_label"] for item in items] == [-1, 0]


def test_the_first_prompt_and_the_first_rationale_are_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(data)
    shown = capsys.readouterr().err
    assert "Ann has 3 bags" in shown.partition("first rationale")[0].partition("first prompt")[2]
    assert "**Judgement**" in shown.partition("first rationale")[2]
    assert "items/s" in shown and "code ok 100.0 %" in shown and "ETA 0:00:00" in shown


def test_progress_as_json_lines_is_for_programs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, "--sandbox", "local", "--log-json") == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in events if event["event"] != "log"] == ["prompt", *["vote"] * 4]
    last = events[-1]
    assert (last["done"], last["total"], last["items_done"], last["parse_failures"]) == (4, 4, 2, 0)
    assert last["cell_ms_median"] > 0
    assert json.loads((data.parent / "run/metrics.json").read_text())["timing"]["cell_ms_median"] > 0


def test_the_same_command_again_does_nothing_and_says_so(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(data, "--mode", "analyze")
    votes = (data.parent / "run/votes.jsonl").read_bytes()
    capsys.readouterr()
    assert verify(data, "--mode", "analyze") == 0
    assert "4 votes were finished before: all of them" in capsys.readouterr().out
    assert (data.parent / "run/votes.jsonl").read_bytes() == votes


def test_more_votes_continue_the_run(data: Path) -> None:
    verify(data, "--mode", "analyze")
    before = (data.parent / "run/votes.jsonl").read_bytes()
    assert verify(data, "--mode", "analyze", "--votes", "3") == 0
    after = (data.parent / "run/votes.jsonl").read_bytes()
    assert after.startswith(before) and after.count(b"\n") == 6


def test_a_dry_run_says_the_plan_and_writes_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "2 solutions with 3 steps" in shown and "4 votes" in shown and "nothing was loaded or written" in shown
    assert "about 2,070 tokens, were it the published model" in shown
    assert sorted(path.name for path in data.parent.iterdir()) == ["in.jsonl"]


def test_a_dry_run_on_a_run_estimates_from_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data) == 0
    capsys.readouterr()
    assert verify(data, "--votes", "8", "--dry-run") == 0
    assert re.search(
        r"about [\d,]+ tokens at the \d+ a rationale of the run there, [\d.]+ minutes at its", capsys.readouterr().out
    )


def test_a_cascade_says_what_each_mode_decided(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(data, "--mode", "cascade") == 0
    shown = capsys.readouterr().out
    assert "verdicts it gave" in shown and "direct" in shown
    assert verify(data, "--mode", "cascade", "--margin", "0.7") == 2
    assert "margin is 0.7; it must be" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["direct", "analyze", "code-only", "code"])
def test_every_option_reaches_the_configuration(data: Path, mode: str) -> None:
    more = ["--mode", mode, "--no-execute", "--history", "last-3", "--read-out", "forced", "--prompt-style", "official"]
    more += ["--temperature", "0.1", "--top-p", "0.5", "--top-k", "7", "--seed", "9", "--limit", "1"]
    assert verify(data, *more, "--vote-rule", "majority", "--max-in-flight", "2") == 0
    config = (data.parent / "run/config.yaml").read_text(encoding="utf-8")
    for line in (
        f"mode: {mode}", "execute: false", "history: last-k", "last_k: 3", "read_out: forced", "top_k: 7", "seed: 9",
        "prompt_style: official", "temperature: 0.1", "top_p: 0.5", "limit: 1", "vote_rule: majority", "concurrency: 2",
    ):  # fmt: skip
        assert line in config, line


def test_a_run_can_be_viewed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(data)
    capsys.readouterr()
    assert run(["view", str(data.parent / "run")]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert "3 * 4 = 13 pears." in page.read_text(encoding="utf-8")
    assert run(["view", str(data.parent)]) == 0
    assert capsys.readouterr().out.strip() == str(data.parent / "index.html")
    assert run(["view", str(data.parent / "run"), "--out", str(data.parent / "all.html")]) == 0
    assert 'href="run/report.html"' in (data.parent / "all.html").read_text(encoding="utf-8")


def test_two_annotators_are_compared(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [data.parent / f"{name}.jsonl" for name in "ab"]
    for file, labels in zip(files, ((-1, 1, 2), (-1, 1, 0)), strict=True):
        write(file, *({"id": f"s{number}", "label": label} for number, label in enumerate(labels)))
    assert run(["view", *map(str, files), "--agreement"]) == 0
    shown = capsys.readouterr().out
    assert "on 2 of 3 (66.7 %), Cohen's kappa 0.571" in shown
    assert "s2" in shown and "step 2" in shown and "step 0" in shown and "s1" not in shown
    assert run(["view", str(files[0]), "--agreement"]) == 2
    assert "needs two files" in capsys.readouterr().err
    write(files[1], {"id": "s1"})
    assert run(["view", *map(str, files), "--agreement"]) == 2
    assert "b.jsonl, line 1" in capsys.readouterr().err


def test_text_of_a_model_cannot_steer_the_terminal(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(data, record("[bold]x[/bold]", "\x1b]0;owned\x07 3 * 4 = 12") | {"problem": "\x1b[2J[red]P[/red]"})
    assert verify(data, "--mode", "analyze") == 0
    shown = capsys.readouterr()
    assert "\x1b]0;owned" not in shown.err and "\x1b[2J" not in shown.err
    assert "[red]P[/red]" in shown.err and "[bold]x[/bold]" in shown.out
