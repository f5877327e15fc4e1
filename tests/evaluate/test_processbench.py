"""ProcessBench figures against hand-computed cases, and from the files of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm.errors import InputError, RecordError
from genprm.evaluate import evaluate_run, pass_at_1, recall, score
from genprm.evaluate.processbench import vote_label
from genprm.records import solution_to_dict, vote_to_dict, write_lines
from genprm.types import Solution, StepVerdict, Vote

LABELS = [0, 1, 2, -1, -1]


def test_only_the_exact_first_error_counts() -> None:
    found = score([0, 1, 1, -1, 0], LABELS)  # 2 of 3, 1 of 2
    assert found.error_accuracy.value == pytest.approx(200 / 3)
    assert found.correct_accuracy.value == 50
    assert found.f1.value == pytest.approx(100 * 2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert (found.erroneous, found.correct, found.unknown) == (3, 2, 0)


def test_a_missing_verdict_is_a_miss_and_is_counted() -> None:
    found = score([None, 1, 2, None, -1], LABELS)
    assert found.unknown == 2
    assert found.correct_accuracy.value == 50


def test_pass_at_1_is_the_mean_over_votes() -> None:
    perfect_and_blind = [[label, -1] for label in LABELS]
    assert pass_at_1(perfect_and_blind, LABELS).f1.value == pytest.approx(50)


def test_recall_of_each_kind() -> None:
    found = recall([[0], [1], [0], [-1], [-1]], LABELS, ["slip", "slip", "operand", "clean", "clean"])
    assert {kind: interval.value for kind, interval in found.items()} == {"slip": 100, "operand": 0, "clean": 100}


def test_a_vote_names_its_first_step_below_a_half() -> None:
    assert vote_label(vote("a", 0, 0.5, 0.2, 0.1)) == 1
    assert vote_label(vote("a", 0, 0.9, 0.5)) == -1
    assert vote_label(vote("a", 0, 0.9, None, 0.1)) is None


def vote(name: str, index: int, *rewards: float | None) -> Vote:
    steps = tuple(StepVerdict("failed" if r is None else "judged", "direct", reward=r) for r in rewards)
    return Vote(f"{name}-{index}", name, index, 0, steps)


def write_run(folder: Path) -> None:
    solutions = [
        Solution("p", ("s", "t"), id="bad", label=1, extra={"kind": "slip"}),
        Solution("p", ("s",), id="good", label=-1, extra={"kind": "clean"}),
        Solution("p", ("s",), id="free"),
    ]
    votes = [vote("bad", 1, 0.9, 0.6), vote("bad", 0, 0.9, 0.1), vote("good", 0, 0.9), vote("good", 1, 0.8)]
    verdicts = {"bad": 1, "good": -1, "free": None}
    write_lines(folder / "solutions.jsonl", [solution_to_dict(solution) for solution in solutions])
    write_lines(folder / "votes.jsonl", [vote_to_dict(one) for one in votes])
    write_lines(folder / "items.jsonl", [{"id": name, "predicted_label": label} for name, label in verdicts.items()])


def test_a_run_is_evaluated_from_its_files(tmp_path: Path) -> None:
    write_run(tmp_path)
    report = evaluate_run(tmp_path)
    assert (report.solutions, report.unlabelled, report.votes) == (2, 1, 2)
    assert report.maj.f1.value == 100
    assert report.pass_at_1 is not None and report.pass_at_1.f1.value == 50  # the second vote misses the error
    assert report.difference is not None and report.difference.value == 50
    assert {kind: found.value for kind, found in report.recall.items()} == {"slip": 100, "clean": 100}
    assert json.dumps(report.as_dict())


def test_items_alone_are_enough(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "votes.jsonl").unlink()
    report = evaluate_run(tmp_path)
    assert report.votes == 0 and report.pass_at_1 is None and report.maj.f1.value == 100


def test_what_cannot_be_evaluated_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no items\.jsonl; finish the run with genprm verify"):
        evaluate_run(tmp_path)
    (tmp_path / "a").mkdir()
    write_lines(tmp_path / "a/items.jsonl", [])
    with pytest.raises(InputError, match=r"no items\.jsonl; give the runs in it, such as \S+/a$"):
        evaluate_run(tmp_path)
    write_run(tmp_path)
    items = [{"id": name, "predicted_label": "1"} for name in ("bad", "good", "free")]
    write_lines(tmp_path / "items.jsonl", items)
    with pytest.raises(RecordError, match=r"items\.jsonl, line 1, field 'predicted_label'"):
        evaluate_run(tmp_path)
    write_lines(tmp_path / "items.jsonl", items[:1])
    with pytest.raises(InputError, match=r"items\.jsonl has no line of 2 of 3 solutions, the first 'good'"):
        evaluate_run(tmp_path)
    write_lines(tmp_path / "items.jsonl", [{"id": "free", "predicted_label": 0}])
    write_lines(tmp_path / "solutions.jsonl", [solution_to_dict(Solution("p", ("s",), id="free"))])
    with pytest.raises(InputError, match="'label'"):
        evaluate_run(tmp_path)
