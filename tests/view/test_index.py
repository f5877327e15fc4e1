"""The index of several runs: its figures are those of the reports, and lead into them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genprm.errors import InputError
from genprm.view import index, report, runs_in
from tests.view.chromium import browse, complaints
from tests.view.document import Document
from tests.view.example import example, item, solution, step, vote, write
from tests.view.test_report import HOSTILE


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with three runs, one of them in a folder of its own."""
    folder = tmp_path / "runs"
    example(folder / "first")
    write(folder / "more/second", [solution("a", ["x"])], [vote("a", 0, [step(0.2)])], [item("a", [0.2], 0, 1)])
    write(folder / "third", [solution("b", ["y"])], [], [])
    (folder / "notes").mkdir()
    (folder / "notes/paper.txt").write_text("no run")
    return folder


def test_the_figures_are_the_counts_of_the_filters_that_they_open(runs: Path) -> None:
    path = index([runs])
    assert path == runs / "index.html"
    (table,) = Document(path).tables.values()
    head, *rows = table
    assert [row[0] for row in rows] == ["first", "more/second", "third"]
    links = re.findall(r'<a href="([^"#]*)#f=([^"]*)">([^<]*)</a>', path.read_text(encoding="utf-8"))
    assert len(links) > 8
    for page, tag, count in links:
        items = Document(runs / page).items
        if tag != "labelled":  # that of F1, which is a share
            assert sum(not tag or tag in one.tags for one in items) == int(count)
    assert rows[0][head.index("F1")] == "66.7" and rows[1][head.index("F1")] == "–"


def test_runs_are_found_wherever_they_lie_and_their_own_folders_are_not_taken_for_runs(runs: Path) -> None:
    write(runs / "first/code", [solution("a", ["x"])], [], [])
    assert runs_in(runs) == [runs / "first", runs / "more/second", runs / "third"]
    assert runs_in(runs / "first") == [runs / "first"]


def test_runs_that_are_given_one_by_one_share_a_folder_or_are_told_one(runs: Path, tmp_path: Path) -> None:
    assert index([runs / "first", runs / "more/second"]) == runs / "index.html"
    assert index([runs / "first", runs / "third"], tmp_path / "all.html") == tmp_path / "all.html"
    assert 'href="runs/first/report.html"' in (tmp_path / "all.html").read_text(encoding="utf-8")


def test_an_index_replaces_pages_of_ours_alone(runs: Path, tmp_path: Path) -> None:
    """Neither a run's files, nor the report of one of the runs, nor a page that someone else wrote."""
    index([runs])
    index([runs])
    (tmp_path / "index.html").write_text("<!doctype html><title>my lab</title>", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for target, message in (
        (runs / "first/votes.jsonl", "would be none"),
        (runs / "first/report.html", "is the report of a run"),
        (tmp_path / "index.html", "is no page of genprm"),
    ):
        with pytest.raises(InputError, match=message):
            index([runs], target)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run directory in it"):
        index([tmp_path])
    with pytest.raises(InputError, match="is not a folder"):
        index([tmp_path / "missing"])
    assert not list(tmp_path.iterdir())


def test_a_run_with_a_hostile_name_stays_a_name(runs: Path, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "_")[:200]
    example(runs / name)
    path = index([runs])
    assert path.read_text(encoding="utf-8").count("<script") == 1
    document = browse(path, tmp_path / "profile", "--dump-dom")
    assert "<title>runs · genprm</title>" in document and "<img" not in document
    assert complaints(path, tmp_path / "profile") == []


def test_a_report_alone_says_what_the_index_says(runs: Path) -> None:
    index([runs])
    before = (runs / "first/report.html").read_bytes()
    assert report(runs / "first").read_bytes() == before
