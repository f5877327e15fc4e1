"""Problems of the micro-world as files, and the truth written into a copy of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm.errors import InputError
from genprm.lab.policy import policy_problem
from genprm.lab.runs import _world_problem, label_run, problem_records, write_problems
from genprm.lab.world import solve
from genprm.records import read_solutions
from genprm.records.lines import write_lines


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a right and a wrong solution of each of six problems."""
    problems = problem_records(6, 3, "curate")
    write_lines(tmp_path / "problems.jsonl", problems)
    folder = tmp_path / "run"
    folder.mkdir()
    rows = []
    for record in problems:
        for kind in ("clean", "slip"):
            made = solve(policy_problem(record["world"]["seed"], "curate"), kind, 1)
            assert made is not None
            steps = [f"Step {index + 1}: {step.text}" for index, step in enumerate(made.steps)]
            rows.append({"id": f"{record['id']}-{kind}", "problem_id": record["id"], "problem": record["problem"],
                         "steps": steps, "truth": made.label})  # fmt: skip
    write_lines(folder / "selected.jsonl", rows)
    write_lines(folder / "rollouts.jsonl", [])
    return folder


def test_problems_are_different_small_and_say_nothing_of_their_steps() -> None:
    made = problem_records(40, 0, "curate")
    assert len({record["problem"] for record in made}) == 40
    assert {frozenset(record) for record in made} == {frozenset({"id", "problem", "answer", "world"})}
    assert made == problem_records(40, 0, "curate")
    assert not {r["id"] for r in made} & {r["id"] for r in problem_records(40, 1, "curate")}


def test_a_copy_of_the_run_gets_the_truth_and_the_run_stays_without(run: Path, tmp_path: Path) -> None:
    before = (run / "selected.jsonl").read_bytes()
    found = label_run(run, tmp_path / "problems.jsonl", tmp_path / "out")
    labelled = read_solutions(str(tmp_path / "out" / "selected.jsonl")).solutions
    assert [one.label for one in labelled] == [one.extra["truth"] for one in labelled]
    assert found["arithmetic"] + found["value"] == 6
    assert (run / "selected.jsonl").read_bytes() == before
    assert (tmp_path / "out" / "rollouts.jsonl").exists()


def test_every_sample_gets_its_truth_too(run: Path, tmp_path: Path) -> None:
    (run / "sampled.jsonl").write_bytes((run / "selected.jsonl").read_bytes())
    label_run(run, tmp_path / "problems.jsonl", tmp_path / "out")
    labelled = read_solutions(str(tmp_path / "out" / "sampled.jsonl")).solutions
    assert len(labelled) == 12 and all(one.label == one.extra["truth"] for one in labelled)


def test_problems_of_families_never_trained_on_are_drawn_again_as_such(tmp_path: Path) -> None:
    (record,) = problem_records(1, 5, "test", held_out=True)
    problem = policy_problem(record["world"]["seed"], "test", held_out=True)
    assert problem.held_out and problem.text == record["problem"]
    assert _world_problem(record, "here").text == problem.text


def test_other_problems_are_refused_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    first, *others = problems.read_text().splitlines()
    problems.write_text("\n".join(others) + "\n")
    with pytest.raises(InputError, match="has no problem 'world-"):
        label_run(run, problems, tmp_path / "out")
    other = json.loads(first) | {"world": {"seed": 1, "split": "curate"}}
    problems.write_text("\n".join([json.dumps(other), *others]) + "\n")
    with pytest.raises(InputError, match=r"problems.jsonl:1: seed 1 draws another problem"):
        label_run(run, problems, tmp_path / "out")
    problems.write_text(json.dumps({"id": "x", "problem": "p"}) + "\n")
    with pytest.raises(InputError, match="'world' is missing"):
        label_run(run, problems, tmp_path / "out")
    with pytest.raises(InputError, match="is no rollout run"):
        label_run(tmp_path, problems, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_there_is_written_over(run: Path, tmp_path: Path) -> None:
    problems, before = tmp_path / "problems.jsonl", (run / "selected.jsonl").read_bytes()
    for folder in (run, tmp_path):
        with pytest.raises(InputError, match="holds other things"):
            label_run(run, problems, folder)
        with pytest.raises(InputError, match="holds other things"):
            write_problems(folder, 3, 0, "curate")
    with pytest.raises(InputError, match="is a file"):
        label_run(run, problems, problems)
    assert (run / "selected.jsonl").read_bytes() == before
    label_run(run, problems, tmp_path / "out")
    label_run(run, problems, tmp_path / "out")  # the same copy again
    assert write_problems(tmp_path / "made", 3, 0, "curate") == write_problems(tmp_path / "made", 3, 0, "curate") == 3


def test_a_split_that_is_none_and_another_text_are_refused(run: Path, tmp_path: Path) -> None:
    first, *others = (json.loads(line) for line in (tmp_path / "problems.jsonl").read_text().splitlines())
    write_lines(tmp_path / "other.jsonl", [first | {"world": {"seed": 300_000, "split": "nosuch"}}, *others])
    with pytest.raises(InputError, match=r"other.jsonl:1: 'world.split' is 'nosuch'"):
        label_run(run, tmp_path / "other.jsonl", tmp_path / "out")
    rows = [json.loads(line) for line in (run / "selected.jsonl").read_text().splitlines()]
    write_lines(run / "selected.jsonl", [rows[0] | {"problem": "What is 1 + 1?"}, *rows[1:]])
    with pytest.raises(InputError, match="has another problem text"):
        label_run(run, tmp_path / "problems.jsonl", tmp_path / "out")
