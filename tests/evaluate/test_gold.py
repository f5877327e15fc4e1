"""Labels and answers from a file of their own: what they replace, what is counted, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genprm.cli import run as genprm
from genprm.errors import InputError
from genprm.evaluate.benchmark import processbench
from genprm.evaluate.best_of_n import best_of_n
from genprm.evaluate.gold import read_all
from genprm.evaluate.prmbench import prmbench
from genprm.evaluate.scaling import scaling_curve
from tests.evaluate.files import judged, sample, write
from tests.evaluate.test_scaling import write_run as write_voted_run

RUN = [judged("a", 0, [0.1, 0.9]), judged("b", 1, [0.1, 0.9]), judged("c", -1, [0.9, 0.9]), judged("d", -1, [0.9])]
LABELS = st.integers(-1, 1)


@given(st.lists(st.tuples(LABELS, LABELS, st.booleans()), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_are_those_of_a_file_that_carries_the_labels_itself(
    tmp_path: Path, made: list[tuple[int, int, bool]]
) -> None:
    """(label of the run, label of the file, whether the file speaks of the solution); two more of both classes."""
    made = [*made, (1, 0, True), (1, -1, True)]
    rewards = [[0.9, 0.1] if n % 3 else [0.1, 0.9] for n in range(len(made))]
    run = write(tmp_path / "a/run.jsonl", [judged(str(n), old, rewards[n]) for n, (old, _, _) in enumerate(made)])
    gold = write(
        tmp_path / "gold.jsonl", [{"id": str(n), "label": new} for n, (_, new, said) in enumerate(made) if said]
    )
    labels = [new if said else old for old, new, said in made]
    own = write(tmp_path / "b/run.jsonl", [judged(str(n), label, rewards[n]) for n, label in enumerate(labels)])
    told = processbench([run], gold=gold)
    assert told.runs == processbench([own]).runs
    assert told.gold is not None and told.gold.replaced == sum(said for _, _, said in made)
    assert told.gold.missing == len(made) - told.gold.replaced and told.gold.unknown == 0


def test_what_is_unknown_and_what_is_missing_is_counted_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.jsonl", RUN)
    gold = write(tmp_path / "gold.jsonl", [{"id": "b", "label": 0}, {"id": "x", "label": 7}, {"id": "y", "label": 1}])
    out = tmp_path / "figures.json"
    assert genprm(["evaluate", "processbench", str(run), "--gold", str(gold), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "gold.jsonl: labels and answers are taken from it for 1 of 4 solutions" in said
    assert "3 missing in it: they keep what they had" in said and "2 unknown: in it, and in no input" in said
    figures = json.loads(out.read_text())
    assert figures["runs"][0]["subsets"]["run"]["maj"]["f1"]["value"] == 100
    assert figures["gold"] == {
        "source": str(gold), "replaced": 1, "unknown": 2, "missing": 3,
    }  # fmt: skip


def test_several_inputs_are_told_by_one_file(tmp_path: Path) -> None:
    first, second = write(tmp_path / "first.jsonl", RUN[::2]), write(tmp_path / "second.jsonl", RUN[1::2])
    labels = {"a": 0, "b": 0, "c": -1, "d": -1}
    gold = write(tmp_path / "gold.jsonl", [{"id": name, "label": label} for name, label in labels.items()])
    found = processbench([first, second], gold=gold)
    assert found.runs[0].mean_f1 is not None and found.runs[0].mean_f1.value == 100
    assert found.gold is not None and (found.gold.replaced, found.gold.unknown, found.gold.missing) == (4, 0, 0)


def test_a_curve_is_of_the_same_labels(tmp_path: Path) -> None:
    write_voted_run(tmp_path)
    gold = write(tmp_path / "gold.jsonl", [{"id": str(n), "label": -(n % 2)} for n in range(40)])
    curve = scaling_curve(tmp_path, gold=gold)
    (report,) = processbench([tmp_path], gold=gold).runs[0].subsets.values()
    assert curve[8].f1.value == pytest.approx(report.maj.f1.value)
    assert curve[8].f1.value < scaling_curve(tmp_path)[8].f1.value


@pytest.mark.parametrize("by", ["id", "problem_id"])
def test_answers_decide_anew_which_samples_are_right(tmp_path: Path, by: str) -> None:
    rows = [
        {**sample(problem, predicted, predicted == "7", 0.5), "id": f"{problem}{n}"}
        for problem in "pq"
        for n, predicted in enumerate(("7", "8", "8.0"))
    ]
    run = write(tmp_path / "run.jsonl", rows)
    assert best_of_n([run]).runs[0].mean.value == pytest.approx(100 / 3)
    named = [{"id": row["id"]} if by == "id" else {"problem_id": "p"} for row in rows[: 3 if by == "id" else 1]]
    gold = write(tmp_path / "gold.jsonl", [{**name, "answer": 8} for name in named])
    found = best_of_n([run], gold=gold)
    assert found.runs[0].mean.value == pytest.approx(50)  # two of three, and one of three as before
    assert found.runs[0].curves["majority"][-1].value == pytest.approx(50)
    assert found.gold is not None and (found.gold.replaced, found.gold.missing) == (3, 3)


def test_the_same_answer_leaves_what_a_record_says_of_itself(tmp_path: Path) -> None:
    run = write(tmp_path / "run.jsonl", [{**sample("p", "seven", True, 0.5), "id": "a"}])
    (kept,), _ = read_all([run], write(tmp_path / "same.jsonl", [{"id": "a", "answer": "7"}]))
    assert kept.scored[0].solution.final_answer_correct is True
    (told,), _ = read_all([run], write(tmp_path / "b.jsonl", [{"id": "a", "final_answer_correct": False}]))
    assert told.scored[0].solution.final_answer_correct is False


def test_wrong_steps_replace_those_of_the_run_with_their_label(tmp_path: Path) -> None:
    run = write(tmp_path / "run.jsonl", [judged("a", 1, [0.1, 0.9, 0.1], error_steps=[1], classification="circular")])
    assert prmbench([run]).runs[0].overall.prm_score.value < 100
    gold = write(tmp_path / "gold.jsonl", [{"id": "a", "error_steps": [0, 2]}])
    assert prmbench([run], gold=gold).runs[0].overall.prm_score.value == 100
    label = write(tmp_path / "label.jsonl", [{"id": "a", "label": 0}])
    with pytest.raises(InputError, match="'error_steps': is missing"):
        prmbench([run], gold=label)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (None, ("no such file", "check the path")),
        ([], ("is empty",)),
        ([{"label": 1}], ("line 1", "'id'", "is missing")),
        ([{"id": "a"}], ("line 1", "'label'", "drop the line")),
        ([{"id": "a", "label": "1"}], ("line 1", "'label'", "first wrong step")),
        ([{"id": "a", "label": True}], ("line 1", "'label'")),
        ([{"id": "a", "label": -2}], ("line 1", "'label'", "-1 for none")),
        ([{"id": "b", "label": 0}, {"id": "a", "label": 2}], ("line 2", "'label'", "has 2 steps")),
        ([{"id": "a", "label": 0}, {"id": "a", "label": 1}], ("line 2", "'id'", "already used in line 1")),
        ([{"id": "a", "error_steps": [-1]}], ("line 1", "'error_steps'", "from 0")),
        ([{"id": "a", "error_steps": [1], "label": 0}], ("line 1", "'error_steps'", "mend one")),
        ([{"id": "a", "answer": " "}], ("line 1", "'answer'", "is empty")),
        ([{"id": "a", "final_answer_correct": 1}], ("line 1", "true or false")),
        ([{"problem_id": "a", "label": 1}], ("line 1", "'label'", "give the solution's 'id'")),
        ([{"problem_id": "a", "answer": "7", "label": 1}], ("line 1", "'label'", "give the solution's 'id'")),
        ([{"id": "elsewhere", "label": 1}], ("speaks of no solution", "run.jsonl")),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[dict[str, Any]] | None, words: tuple[str, ...]
) -> None:
    run, gold = write(tmp_path / "run.jsonl", RUN), tmp_path / "gold.jsonl"
    if lines is not None:
        write(gold, lines)
    out = tmp_path / "out.json"
    assert genprm(["evaluate", "processbench", str(run), "--gold", str(gold), "--out", str(out)]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "gold.jsonl" in error and all(word in error for word in words), error
    assert not out.exists()
