"""The page of a curation: its numbers are those of the run's files, and nothing in it can act."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from genprm.curate.job import curate
from genprm.curate.options import Curation
from genprm.curate.selection import stages
from genprm.errors import InputError
from genprm.records.lines import write_lines
from genprm.view import report
from tests.view.chromium import after, browse, complaints
from tests.view.document import Document
from tests.view.scripted import OPTIONS, curation, lines, poison, rollout, with_truth
from tests.view.test_rollouts import HOSTILE

RULES = ("hard", "soft", "entropy", "rpe_ratio", "rpe_difference")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curation")
    return curation(with_truth(rollout(folder / "rollouts"), folder / "labelled"), folder / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def first_errors(run: Path) -> dict[str, dict[str, int | None]]:
    """By source and solution, worked out anew."""
    found: dict[str, dict[str, int | None]] = {rule: {} for rule in RULES}
    for one in lines(run / "labels.jsonl"):
        if one["rule"] != "orm":
            wrong = [i for i, value in enumerate(one["values"]) if value is not None and value < 0.5]
            blind = [i for i, value in enumerate(one["values"]) if value is None]
            first = min(wrong, default=99)
            found[one["rule"]][one["id"]] = None if min(blind, default=100) < first else first if wrong else -1
    for item in lines(run / "items.jsonl"):
        for name in ("annotator", "judge", "siblings", "agreed"):
            found.setdefault(name, {})[item["id"]] = item[name]
    return found


def test_the_page_is_one_file_that_names_nothing_outside_itself(run: Path) -> None:
    page = report(run)
    assert not re.search(r"src\s*=\s*[\"']|url\(|@import|https?://", page.read_text(encoding="utf-8"))
    files = {unquote(link) for link in Document(page).links if not link.startswith("#f=")}
    assert {"annotations.jsonl", "judgements.jsonl", "metrics.json"} <= files
    assert all((run / name).exists() for name in files), "figures of no items lead to what they are summed from"


def test_the_funnel_is_what_became_of_the_items(run: Path) -> None:
    items, page = lines(run / "items.jsonl"), Document(report(run))
    left = len(items)
    for stage, (_, entered, kept, dropped, reasons, _) in page.rows("funnel").items():
        if stage == "filter":
            continue
        here = Counter(item["reason"] for item in items if item["dropped_by"] == stage)
        assert reasons == ", ".join(f"{name} {count}" for name, count in sorted(here.items()))
        assert (int(entered), int(kept), int(dropped)) == (left, left - here.total(), here.total())
        left -= here.total()
    assert left == sum(item["kept"] for item in items) < len(items)
    assert page.tiles[f"kept, {len(items) - left} dropped"] == str(left)


def test_sources_disagree_where_their_first_errors_differ(run: Path) -> None:
    found, table = first_errors(run), Document(report(run)).tables["disagreement"]
    names = table[0][1:]
    assert set(names) == set(found)
    shown = {(row[0].split()[0], name): cell for row in table[1:] for name, cell in zip(names, row[1:], strict=True)}
    for one, other in permutations(found, 2):
        both = [(found[one][id], found[other][id]) for id in found[one]]
        known = [(a, b) for a, b in both if a is not None and b is not None]
        assert shown[one, other] == f"{sum(a != b for a, b in known)} / {len(known)}"
    assert any(not cell.startswith("0 ") for cell in shown.values() if cell)


def kinds(found: dict[str, int | None], truth: dict[str, int]) -> list[str]:
    """The columns of the confusion table, counted case by case."""
    cases = [(found[id], label) for id, label in truth.items()]
    known = [(a, t) for a, t in cases if a is not None]
    counts = [
        sum(a == t >= 0 for a, t in known), sum(a == t == -1 for a, t in known),
        sum(0 <= a < t for a, t in known), sum(a > t >= 0 for a, t in known),
        sum(a == -1 < t for a, t in known), sum(a >= 0 > t for a, t in known), len(cases) - len(known),
    ]  # fmt: skip
    assert sum(counts) == len(truth)
    return [*map(str, counts), f"{100 * (counts[0] + counts[1]) / len(known):.1f} %"]


def test_each_source_is_held_against_the_truth_where_there_is_one(run: Path) -> None:
    found, table = first_errors(run), Document(report(run)).rows("confusion")
    truth = {one["id"]: one["label"] for one in lines(run / "solutions.jsonl")}
    for name, indices in found.items():
        assert table[name] == kinds(indices, truth)


def test_without_a_truth_there_is_no_such_table(run: Path) -> None:
    records = lines(run / "solutions.jsonl")
    write_lines(run / "solutions.jsonl", [{k: v for k, v in one.items() if k != "label"} for one in records])
    assert "confusion" not in Document(report(run)).tables


def test_values_conflicts_critiques_and_candidates_are_counted(run: Path) -> None:
    items, page = lines(run / "items.jsonl"), Document(report(run))
    wanted = [0] * 20
    for one in lines(run / "labels.jsonl"):
        for correct, total in one["counts"][:-1] if one["rule"] == "hard" else ():
            wanted[min(20 * correct // total, 19)] += 1
    assert page.bars == wanted and sum(wanted) > 0
    critiques = {row[0]: int(row[1]) for row in page.tables["critiques"]}
    malformed = Counter(f"malformed: {item['malformed']}" for item in items if item["malformed"])
    code = Counter(f"code: {verdict}" for item in items for verdict in item["code"])
    conflicts = sum("conflict" in item["code"] for item in items)
    assert malformed and critiques == {**malformed, **code, "solutions with a conflict": conflicts}


def test_the_accuracy_of_answer_candidates_is_that_of_the_best_scored_solutions(run: Path) -> None:
    solutions = {one["id"]: one for one in lines(run / "solutions.jsonl")}
    shown = {name: row[-1] for name, row in Document(report(run)).rows("candidates").items()}
    scores: dict[str, dict[str, list[tuple[float, bool]]]] = {}
    for one in lines(run / "labels.jsonl"):
        values, solution = one["values"][:-1], solutions[one["id"]]
        if None not in values:
            of_problem = scores.setdefault(one["rule"], {}).setdefault(solution["problem_id"], [])
            of_problem.append((min(values), solution["final_answer_correct"]))
    assert set(scores) == {"orm", *RULES}
    for rule, problems in scores.items():
        tops = [[right for score, right in one if score == max(one)[0]] for one in problems.values()]
        share = sum(sum(top) / len(top) for top in tops) / len(tops)
        assert shown[rule] == f"{100 * share:.1f} %"


def test_every_solution_shows_its_fate_and_the_labels_of_every_rule(run: Path) -> None:
    items = {item["id"]: item for item in lines(run / "items.jsonl")}
    solutions = {one["id"]: one for one in lines(run / "solutions.jsonl")}
    values: dict[Any, Any] = {(one["id"], one["rule"]): one for one in lines(run / "labels.jsonl")}
    shown = Document(report(run)).items
    assert [one.id for one in shown] == list(solutions)
    for one in shown:
        item, solution = items[one.id], solutions[one.id]
        assert one.chip == ("kept" if item["kept"] else item["reason"])
        rules, steps = one.detail["rules"], one.detail["steps"]
        assert rules[0] == "orm" and set(rules) == {"orm", *RULES}
        assert [step["text"] for step in steps] == solution["steps"] and one.steps == len(steps)
        for index, step in enumerate(steps):
            named = [name for name in ("annotator", "judge", "siblings", "agreed") if item[name] == index]
            assert step["named"] == named + ["label"] * (solution["label"] == index)
            assert step["count"] == values[one.id, "orm"]["counts"][index]
            for rule, text in zip(rules, step["values"], strict=True):
                value = values[one.id, rule]["values"][index]
                assert text == ("–" if value is None else f"{round(value, 2):g}")
            assert step["code"] == (item["code"][index] if index < len(item["code"]) else "")


def test_a_figure_leads_to_as_many_solutions_as_it_says_and_they_name_their_lines(run: Path) -> None:
    page = report(run)
    shown = Document(page).items
    links = re.findall(r'<a href="#f=([^"]+)">([\d,]+)</a>', page.read_text(encoding="utf-8"))
    whole = [(tag, int(count.replace(",", ""))) for tag, count in links if not tag.startswith("code-")]
    for tags, count in whole:  # those of code count steps, and list the solutions with such a step
        assert sum(bool(set(unquote(tags).split(",")) & set(one.tags)) for one in shown) == count, tags
    assert len(whole) > 20
    files = ("solutions.jsonl", "items.jsonl", "labels.jsonl", "annotations.jsonl", "judgements.jsonl")
    records = {name: lines(run / name) for name in files}
    for one in shown:
        names = [place.partition(":") for place in one.detail["places"]]
        assert all(records[name][int(number) - 1]["id"] == one.id for name, _, number in names)
        assert {name for name, _, _ in names} == set(records)


def test_labels_alone_make_a_page_too(made: Path, tmp_path: Path) -> None:
    options = Curation(consensus="none", truncate=False, formats=("step-tags",))
    asyncio.run(curate(made.parent / "labelled", tmp_path / "run", options, stages(options), []))
    page = Document(report(tmp_path / "run"))
    assert page.tables["disagreement"][0][1:] == [*RULES, "siblings"]
    assert not {"funnel", "critiques"} & page.tables.keys()


def test_a_curation_that_stopped_says_how_many_answers_are_there(run: Path) -> None:
    for name in ("items.jsonl", "labels.jsonl", "metrics.json"):
        (run / name).unlink()
    some = (run / "judgements.jsonl").read_bytes().splitlines(keepends=True)[:5]
    (run / "judgements.jsonl").write_bytes(b"".join(some) + b'{"key": "half a li')
    page, solutions = Document(report(run)), lines(run / "solutions.jsonl")
    wanted = len(solutions) * (OPTIONS.judge.samples if OPTIONS.judge else 0)
    assert page.tiles[f"answers of the judge, {wanted} wanted"] == "5"
    assert page.tiles["solutions, 0 of them derived"] == str(len(solutions))
    assert not page.tables.keys() - {""} and page.items[0].chip == "waiting"


def test_a_folder_without_solutions_is_refused(run: Path) -> None:
    (run / "solutions.jsonl").unlink()
    with pytest.raises(InputError, match="not a run directory"):
        report(run)


def test_hostile_text_stays_text_wherever_it_appears(run: Path, tmp_path: Path) -> None:
    poison(run, HOSTILE)
    page = report(run)
    assert page.read_text(encoding="utf-8").count("<script") == 2
    document = browse(page, tmp_path / "profile", "--dump-dom")
    assert "<title>run · genprm</title>" in document
    assert "<img" not in document and "{{7*7}}" in document


def test_a_browser_has_nothing_to_complain_of_and_filters_by_fate(run: Path, tmp_path: Path) -> None:
    page = report(run)
    assert complaints(page, tmp_path / "profile") == []
    items = Document(page).items
    tags = [tag for tag in Document(page).buttons.values() if tag]
    assert len(tags) >= 2
    script = "".join(f"change('f', '{tag}'); say(listed());" for tag in tags)
    found = after(page, tmp_path / "filtered", script)
    assert [one.split() for one in found] == [[item.id for item in items if tag in item.tags] for tag in tags]
