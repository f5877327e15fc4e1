"""PRMBench's own rows become the solutions that they hold, wherever records are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genprm.errors import RecordError
from genprm.evaluate.prmbench import prmbench
from genprm.records import read_lines, read_solutions, solution_to_dict
from genprm.types import Solution
from tests.conftest import shared_data
from tests.evaluate.files import write

STEPS = ["Let p be the price.", "2p = 10.", "So p = 5."]


def row(category: str = "circular", wrong: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """A row in the form of the released file."""
    return {
        "original_question": "What is p?",
        "modified_question": "What is p, really?",
        "original_process": STEPS,
        "modified_process": [STEPS[0], "2p = 12.", "So p = 6.", "Done."],
        "modified_steps": [2, 3, 4],
        "error_steps": [2, 3] if wrong is None else wrong,
        "reason": "12 is wrong",
        "idx": f"{category}_prm_test_p1_0",
        "question": "What is p?",
        "classification": category,
    } | more  # fmt: skip


def read(tmp_path: Path, *rows: dict[str, Any], limit: int | None = None) -> tuple[list[Solution], tuple[str, ...]]:
    loaded = read_solutions(str(write(tmp_path / "rows.jsonl", rows)), limit=limit)
    return list(loaded.solutions), loaded.notes


def test_a_row_is_two_solutions_with_steps_counted_from_0(tmp_path: Path) -> None:
    (modified, original), notes = read(tmp_path, row())
    assert solution_to_dict(modified) == {
        "id": "circular-prm_test_p1_0-modified", "problem_id": "prm_test_p1_0", "problem": "What is p, really?",
        "steps": [STEPS[0], "2p = 12.", "So p = 6.", "Done."], "label": 1, "classification": "circular",
        "error_steps": [1, 2], "modified_steps": [1, 2, 3], "reason": "12 is wrong", "question": "What is p?",
    }  # fmt: skip
    assert solution_to_dict(original) == {
        "id": "circular-prm_test_p1_0-original", "problem_id": "prm_test_p1_0", "problem": "What is p?",
        "steps": STEPS, "label": -1, "classification": "correct", "error_steps": [],
    }  # fmt: skip
    assert notes == (
        "1 row of PRMBench: each became its modified and its original solution, steps counted from 0",
    )  # fmt: skip


def test_an_id_without_its_category_becomes_the_same_id(tmp_path: Path) -> None:
    with_it, _ = read(tmp_path, row())
    without, _ = read(tmp_path, row(idx="prm_test_p1_0"))
    assert with_it == without


def test_an_original_that_several_categories_share_is_given_once(tmp_path: Path) -> None:
    found, notes = read(tmp_path, row(), row("confidence"), row("deception", original_process=STEPS[:2]))
    assert [one.id for one in found] == [
        "circular-prm_test_p1_0-modified", "circular-prm_test_p1_0-original", "confidence-prm_test_p1_0-modified",
        "deception-prm_test_p1_0-modified", "deception-prm_test_p1_0-original",
    ]  # fmt: skip
    assert "1 times an original that an earlier row had" in notes[0]
    assert [one.id for one in read(tmp_path, row(), row("confidence"), limit=3)[0]] == [one.id for one in found[:3]]


@pytest.mark.parametrize(("wrong", "label"), [([], -1), ([9, 3], 2), ([9], None)])
def test_the_label_is_the_first_wrong_step_that_is_there(tmp_path: Path, wrong: list[int], label: int | None) -> None:
    (modified, _), _ = read(tmp_path, row(wrong=wrong))
    assert modified.label == label and modified.extra["error_steps"] == [step - 1 for step in wrong]


def test_rows_of_the_hub_are_read_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [row(), row("multi_solutions", wrong=[])]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_list(rows))
    loaded = read_solutions("hub:hitsmy/PRMBench_Preview:train")
    assert list(loaded.solutions) == read(tmp_path, *rows)[0] and "2 rows of PRMBench" in loaded.notes[0]


def test_figures_keep_categories_and_hold_a_problem_together(tmp_path: Path) -> None:
    rows = [row(), row("confidence"), row("multi_solutions", wrong=[], modified_process=STEPS[::-1])]
    found, _ = read(tmp_path, *rows)
    results = [
        solution_to_dict(one)
        | {"reward": [float(step not in one.extra["error_steps"]) for step in range(len(one.steps))]}
        for one in found
    ]
    (run,) = prmbench([write(tmp_path / "scored.jsonl", results)]).runs
    assert {name: one.solutions for name, one in run.categories.items()} == {
        "circular": 1, "confidence": 1, "multi_solutions": 1, "correct": 1,
    }  # fmt: skip
    assert run.overall.solutions == 3 and run.overall.steps == 11 and run.overall.prm_score.value == 100
    assert run.pairs == 1, "all that was made of one problem is one unit of resampling"
    assert run.categories["multi_solutions"].first_error is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"error_steps": [0, 2]}, "field 'error_steps': holds 0; PRMBench counts steps from 1"),
        ({"error_steps": "2"}, "field 'error_steps': must be a list of whole numbers"),
        ({"modified_process": ["x", " "]}, "field 'modified_process': step 2 is empty"),
        ({"original_process": []}, "field 'original_process': must be a list of strings"),
        ({"modified_question": " "}, "field 'modified_question': is empty"),
        ({"classification": None}, "field 'classification': is a null"),
    ],
)
def test_a_broken_row_is_named_with_its_own_fields(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordError, match=r"rows\.jsonl, line 2, " + words):
        read(tmp_path, row("confidence"), row(**change))
    broken = row()
    del broken["idx"]
    with pytest.raises(RecordError, match=r"line 1, field 'idx': is missing"):
        read(tmp_path, broken)
    with pytest.raises(RecordError, match=r"line 2, field 'id': 'circular-prm_test_p1_0-modified' is already used"):
        read(tmp_path, row(), row())


def test_real_solutions_turned_into_rows_come_back(tmp_path: Path) -> None:
    known = [record for _, record in read_lines(shared_data("prmbench/counterfactual.jsonl"))]
    pairs = list(zip(known[::2], known[1::2], strict=True))
    rows = [
        {
            "original_question": original["problem"], "modified_question": modified["problem"],
            "original_process": original["steps"], "modified_process": modified["steps"],
            "error_steps": [step + 1 for step in modified["error_steps"]],
            "idx": modified["id"].removeprefix("counterfactual-").removesuffix("-modified"),
            "classification": modified["classification"],
        }
        for modified, original in pairs
    ]  # fmt: skip
    found = {one.id: one for one in read(tmp_path, *rows)[0]}
    for record in known:
        if record["id"] in found:  # an original that an earlier row had is not given again
            one = found[record["id"]]
            assert (one.problem, list(one.steps), one.label, one.extra["error_steps"]) == tuple(
                record[name] for name in ("problem", "steps", "label", "error_steps")
            )
    assert sum(one.label != -1 for one in found.values()) == len(pairs) > 200
