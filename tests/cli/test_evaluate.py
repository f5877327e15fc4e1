"""``genprm evaluate``, ``compare`` and ``view`` through the command line: where they write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm.cli import run
from tests.evaluate.files import judged, write, write_run
from tests.view.example import example

ROWS = [judged("[/a]", 0, [0.2, 0.9]), judged("b", -1, [0.9, 0.8])]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return write(tmp_path / "scores.json", ROWS)


def test_figures_are_written_where_they_replace_figures_alone(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was given, a file of a run and any other file are left as they are."""
    folder = write_run(tmp_path / "run", ROWS)
    (folder / "config.yaml").write_text("verb: verify\n", encoding="utf-8")
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    (tmp_path / "mine.json").write_text('{"mine": 1}', encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for target, message in (
        (scores, "is what the figures are of"),
        (folder / "items.jsonl", "is no file of figures"),
        (tmp_path / "thesis.tex", "is no file of figures"),
        (tmp_path / "none/figures.json", "there is no folder"),
        (tmp_path / "run", "is no file of figures"),
        (tmp_path / "mine.json", "is no file of figures"),
        (folder / "errors.jsonl", "would be among the records of a run"),
        (tmp_path / ("x" * 300), "cannot write"),
    ):
        for verb in (["evaluate", "processbench"], ["compare", str(scores)]):
            assert run([*verb, str(scores), "--out", str(target)]) == 2, target
            assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for target in (tmp_path / "figures.json", tmp_path / "figures", folder / "figures.json") * 2:
        for verb in (["evaluate", "processbench"], ["compare", str(scores)]):
            assert run([*verb, str(scores), "--out", str(target)]) == 0
    assert run(["evaluate", "processbench", str(scores), "--out", str(tmp_path / "figures.json")]) == 0
    assert json.loads((tmp_path / "figures.json").read_text())["runs"]


def test_options_that_would_change_nothing_are_refused(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["evaluate", "processbench", str(scores), "--vote-rule", "majority"], "is of the curve; add --curve"),
        (["compare", str(scores), str(scores), "--score", "mean"], "--score is of best-of-n"),
        (["view", str(scores), str(scores), "--agreement", "--out", "x.html"], "--agreement writes no file"),
    ):
        assert run(words) == 2
        assert message in capsys.readouterr().err
    other = write(tmp_path / "other.jsonl", [{"id": "elsewhere", "label": 0}])
    assert run(["view", "--agreement", str(scores), str(other)]) == 2
    assert "have no solution in common" in capsys.readouterr().err


def test_brackets_in_names_and_ids_are_only_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "[" / "red]"
    example(folder / "run")
    scores = write(folder / "scores.jsonl", ROWS)
    assert run(["view", str(folder / "run")]) == 0
    assert str(folder / "run/report.html") in capsys.readouterr().out
    assert run(["evaluate", "processbench", str(scores), "--out", str(folder / "[b]:smile:.json")]) == 0
    assert "[b]:smile:.json" in capsys.readouterr().out
    annotations = [
        write(folder / f"{who}.jsonl", [{"id": "[/a]", "label": first}]) for who, first in (("one", 0), ("other", 1))
    ]
    assert run(["view", "--agreement", *map(str, annotations)]) == 0
    assert "[/a]" in capsys.readouterr().out
