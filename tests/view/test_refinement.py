"""The page of a critique run: its counts are those of the run, and lead to the solutions that they count."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from genprm.critique import Plan, critique
from genprm.errors import InputError
from genprm.view import index, report, runs_in
from tests.critique import sums
from tests.view.chromium import browse, complaints
from tests.view.document import Document
from tests.view.scripted import lines
from tests.view.test_report import HOSTILE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve solutions, two rounds, and the page."""
    out = tmp_path_factory.mktemp("critique") / "run"
    critique(sums.given(12), out, sums.verifier(), sums.policy(), Plan(rounds=2, refinements=2))
    report(out)
    return out


def test_the_rounds_are_those_of_the_metrics(made: Path) -> None:
    rows = Document(made / "report.html").rows("rounds")
    metrics = json.loads((made / "metrics.json").read_text())["rounds"]
    for number, one in enumerate(metrics):
        right, criticised, alarms, mended, spoiled, _, policy, verifier = rows[str(number)]
        names = ("right", "criticised", "false_alarms", "wrong_to_right", "right_to_wrong")
        assert [int(text) for text in (right, criticised, alarms, mended, spoiled)] == [one[name] for name in names]
        assert (policy, verifier) == (f"{one['policy_tokens']:,}", f"{one['verifier_tokens']:,}")


def test_a_figure_leads_to_the_solutions_that_it_counts_and_they_name_their_lines(made: Path) -> None:
    page = made / "report.html"
    shown = Document(page).items
    links = re.findall(r'<a href="#f=([^"]+)">([\d,]+)</a>', page.read_text(encoding="utf-8"))
    assert len(links) > 8
    for tag, count in links:
        assert sum(tag in one.tags for one in shown) == int(count), tag
    assert {link for link in Document(page).links if not link.startswith("#f=")} == {"metrics.json"}
    for one in shown:
        for place in one.detail["places"]:
            where, id = (place, one.id) if isinstance(place, str) else place
            name, _, number = where.partition(":")
            assert lines(made / name)[int(number) - 1]["id"] == id and id.partition("~")[0] == one.id


def test_every_round_shows_what_stood_and_what_was_said_of_it(made: Path, tmp_path: Path) -> None:
    items = {one["id"]: one for one in lines(made / "items.jsonl")}
    for one in Document(made / "report.html").items:
        rounds = items[one.id]["rounds"]
        shown = one.detail["rounds"]
        assert [each["id"] for each in shown] == [*(each["solution"] for each in rounds), items[one.id]["final"]]
        assert [each["step"] for each in shown[:-1]] == [(each["finding"] or {}).get("step") for each in rounds]
        assert all(each["steps"] for each in shown)
    document = browse(made / "report.html", tmp_path / "profile", "--dump-dom", at="#i=s1")
    assert "the sum must hold." in document and "after round 1" in document and "criticised" in document
    assert complaints(made / "report.html", tmp_path / "profile") == []


def test_a_critique_is_one_run_of_an_index(made: Path) -> None:
    assert runs_in(made.parent) == [made]
    (table,) = Document(index([made.parent])).tables.values()
    assert table[0][:4] == ["run", "model", "items", "right as given"] and table[1][2:4] == ["12", "4"]


def test_an_interrupted_one_and_hostile_text_are_shown_and_other_records_are_refused(
    made: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("solutions.jsonl", "config.yaml"):
        (run / name).write_text((made / name).read_text().replace("Add 3", HOSTILE.replace('"', "'")))
    page = report(run)
    assert {one.chip for one in Document(page).items} == {"unfinished"}
    assert "<img" not in browse(page, tmp_path / "profile", "--dump-dom", at="#i=s1")
    broken = lines(made / "items.jsonl")[0] | {"rounds": [{"finding": 3}]}
    (run / "items.jsonl").write_text(json.dumps(broken) + "\n")
    with pytest.raises(InputError, match=r"items\.jsonl, line 1, field 'rounds': is not what a run writes"):
        report(run)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("metrics.json", '"policy_tokens": ', '"policy_tokens": "x", "was": ', "its rounds are not what a run writes"),
        ("items.jsonl", '"candidates": ["', '"candidates": [7, "', "field 'rounds'"),
        ("items.jsonl", '"right": [', '"right": [{}, ', "field 'rounds'"),
        ("refinements.jsonl", '"steps": [', '"steps": 3, "was": [', "field 'steps'"),
    ],
)
def test_damaged_files_are_one_sentence(
    made: Path, tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made, run)
    text = (run / name).read_text()
    assert old in text
    (run / name).write_text(text.replace(old, new))
    before = (run / "report.html").read_bytes()
    with pytest.raises(InputError, match=message):
        report(run)
    assert (run / "report.html").read_bytes() == before
