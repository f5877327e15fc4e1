"""The page of a rollout run: its numbers are those of the run's files, and nothing in it can act."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from genprm.errors import InputError
from genprm.view import report
from genprm.view.rollouts import Totals, trees
from tests.rollout import policies
from tests.view.chromium import after, browse, complaints
from tests.view.document import Document, Item
from tests.view.scripted import lines, poison, rollout

HOSTILE = "</script></pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">{{7*7}}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rollout(tmp_path_factory.mktemp("rollouts") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def counted(run: Path) -> Totals:
    """The totals of a page, its problems read and left."""
    totals = Totals()
    assert all(tree.id for tree, _ in trees(run, totals))
    return totals


def test_the_page_is_one_file_that_names_nothing_outside_itself(run: Path) -> None:
    page = report(run)
    assert page == run / "report.html"
    assert not re.search(r"src\s*=\s*[\"']|url\(|@import|https?://", page.read_text(encoding="utf-8"))
    assert all(link.startswith("#f=") for link in Document(page).links)


def test_totals_are_those_of_the_metrics_though_counted_from_the_units(run: Path) -> None:
    metrics, totals = json.loads((run / "metrics.json").read_text()), counted(run)
    assert totals.problems == totals.finished == metrics["problems"] and totals.solutions == metrics["solutions"]
    assert {**totals.samples, "tokens": totals.sample_tokens} == metrics["samples"]
    assert {**totals.completions, "tokens": totals.completion_tokens} == metrics["completions"]
    assert totals.reasons == metrics["invalid_samples"] and totals.prefixes == metrics["prefixes"]
    assert totals.difficulties == metrics["difficulties"] and totals.saved == metrics["completions_saved"]
    tiles = Document(report(run)).tiles
    tokens = metrics["samples"]["tokens"] + metrics["completions"]["tokens"]
    assert f"{tokens:,}" in tiles.values()
    assert f"samples: {', '.join(f'{k} {v}' for k, v in sorted(totals.samples.items()))}" in tiles


def test_every_step_shows_its_counts_and_every_answer_its_colour(run: Path) -> None:
    counts = {(one["id"], one["step"]): one for one in lines(run / "rollouts.jsonl")}
    by_problem: dict[str, list[tuple[str, str]]] = {}
    for solution in lines(run / "selected.jsonl"):
        problem, last = solution["problem_id"], len(solution["steps"]) - 1
        alone = counts[problem, -1]
        row = by_problem.setdefault(problem, [("root", f"{alone['correct']}/{alone['total']}")])
        for step in range(last):
            done = counts[solution["id"], step]
            row.append(("", f"{done['correct']}/{done['total']}"))
        answer = "right" if solution["final_answer_correct"] else "wrong"
        row.append((answer, answer))
    shown = [nodes(item) for item in Document(report(run)).items]
    assert shown == [by_problem.get(one["id"], []) for one in lines(run / "items.jsonl")]


def nodes(item: Item) -> list[tuple[str, str]]:
    """Of each square of a tree: what it is, and what stands under it."""
    found = [("root", share(item.detail["alone"]))]
    for row in item.detail["rows"]:
        found += [("", share(step["counts"])) for step in row["steps"][:-1]]
        found.append((row["answer"], row["answer"]))
    return found


def share(counts: list[int] | None) -> str:
    return "–" if counts is None else f"{counts[0]}/{counts[1]}"


def test_the_histogram_holds_every_completed_prefix_once(run: Path) -> None:
    last = {one["id"]: len(one["steps"]) - 1 for one in lines(run / "selected.jsonl")}
    wanted = [0] * 20
    for one in lines(run / "rollouts.jsonl"):
        if 0 <= one["step"] < last[one["id"]]:
            wanted[min(20 * one["correct"] // one["total"], 19)] += 1
    assert Document(report(run)).bars == wanted and sum(wanted) > 0


def test_samples_are_shown_by_outcome_and_the_invalid_ones_with_their_reason(run: Path) -> None:
    samples = [one for item in Document(report(run)).items for one in item.detail["samples"]]
    names = {"correct": "right", "incorrect": "wrong", "invalid": "invalid"}
    wanted = [
        [one["id"], names[one["outcome"]], one["reason"], f"samples.jsonl:{number}"]
        for number, one in enumerate(lines(run / "samples.jsonl"), start=1)
    ]
    assert sorted(samples) == sorted(wanted) and len(samples) > 20


def test_given_solutions_are_drawn_by_problem(tmp_path: Path) -> None:
    shown = Document(report(rollout(tmp_path / "run", policies.solutions(2)))).items
    assert [[kind for kind, _ in nodes(item) if kind] for item in shown] == [["root", "right", "wrong"]] * 2


def test_every_problem_names_its_lines(run: Path) -> None:
    for item in Document(report(run)).items:
        for place in item.detail["places"]:
            name, _, number = place.partition(":")
            record = lines(run / name)[int(number) - 1]
            assert item.id in (record["id"], record.get("problem_id"))


def test_a_killed_run_is_shown_as_far_as_it_got(run: Path) -> None:
    for name in ("selected.jsonl", "items.jsonl", "metrics.json"):
        (run / name).unlink()
    some = (run / "rollouts.jsonl").read_bytes().splitlines(keepends=True)[:30]
    (run / "rollouts.jsonl").write_bytes(b"".join(some) + b'{"key": "half a li')
    totals, page = counted(run), Document(report(run))
    assert totals.prefixes == 30 and totals.finished == 0
    begun = {one["id"] for one in map(json.loads, some) if one["step"] >= 0}
    assert {row["id"] for item in page.items for row in item.detail["rows"]} == begun
    assert all("unfinished" in item.tags for item in page.items)
    assert ("", "–") in [node for item in page.items for node in nodes(item)]


def test_a_run_that_has_just_begun_is_shown(run: Path) -> None:
    for path in run.glob("*.jsonl"):
        if path.name != "problems.jsonl":
            path.unlink()
    page = Document(report(run))
    assert len(page.items) == 6 and not page.items[0].detail["finished"] and not page.items[0].detail["rows"]


def test_a_rollout_without_its_problems_is_refused(run: Path) -> None:
    (run / "problems.jsonl").unlink()
    with pytest.raises(InputError, match=r"not a run directory: it holds no problems\.jsonl or solutions\.jsonl"):
        report(run)


def test_a_record_that_no_run_wrote_is_refused_with_its_place(run: Path) -> None:
    with (run / "samples.jsonl").open("a") as file:
        file.write('{"key": "k", "id": 3}\n')
    with pytest.raises(InputError, match=r"samples\.jsonl.*line \d+.*id"):
        report(run)


def test_a_file_that_cannot_be_read_is_named(run: Path) -> None:
    (run / "items.jsonl").unlink()
    (run / "items.jsonl").mkdir()
    with pytest.raises(InputError, match=r"items\.jsonl.*cannot be read"):
        report(run)


def test_hostile_text_stays_text_wherever_it_appears(run: Path, tmp_path: Path) -> None:
    poison(run, HOSTILE)
    page = report(run)
    assert page.read_text(encoding="utf-8").count("<script") == 2
    document = browse(page, tmp_path / "profile", "--dump-dom")
    assert "<title>run · genprm</title>" in document
    assert "<img" not in document and "{{7*7}}" in document


def test_a_browser_has_nothing_to_complain_of(run: Path, tmp_path: Path) -> None:
    page = report(run)
    assert complaints(page, tmp_path / "profile") == []
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<noscript>", "<script>document.title='owned'</script><noscript>"), encoding="utf-8")
    assert len(complaints(page, tmp_path / "profile")) == 1, "what the policy stops is told"


def test_a_filter_shows_the_problems_of_its_tag_and_the_search_those_with_its_words(run: Path, tmp_path: Path) -> None:
    page = report(run)
    script = """say(listed()); change("f", ""); change("q", "what 8,"); say(listed());
        say(document.querySelectorAll(".tree .node").length);"""
    tagged, found, nodes = after(page, tmp_path / "filtered", script, at="#f=invalid")
    items = Document(page).items
    assert tagged.split() == [item.id for item in items if "invalid" in item.tags] and 0 < len(tagged.split()) < len(
        items
    )
    assert found == items[3].id and int(nodes) > 3
