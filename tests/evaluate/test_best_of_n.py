"""Best-of-N from files: known results, seeds, what is remarked and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genprm.cli import run as genprm
from genprm.errors import InputError
from genprm.evaluate.answers import same_answers
from genprm.evaluate.best_of_n import best_of_n
from tests.evaluate.files import sample, write, write_run

ONE_PROBLEM = [
    sample("p", "7", True, [1.0, 0.9]),
    sample("p", "8", False, [1.0, 1.0]),
    sample("p", "7", True, [0.5, 1.0]),
    sample("p", "9", False, [0.2, 0.3]),
]


def values(found: Any, method: str) -> list[float]:
    return [one.value for one in found.curves[method]]


def test_known_results_of_one_problem(tmp_path: Path) -> None:
    (found,) = best_of_n([write(tmp_path / "a.jsonl", ONE_PROBLEM)]).runs
    assert found.mean.value == 50
    assert values(found, "pass") == pytest.approx([50, 100 * 5 / 6, 100, 100])
    # By min: 8 (1.0) > 7 (0.9) > 7 (0.5) > 9 (0.2): of two, the best is right in 3 of 6 pairs; of three, in 1 of 4.
    assert values(found, "min") == pytest.approx([50, 50, 25, 0])
    # Of the six pairs, 7 and 7 is right, 7 against another answer (four pairs) is a tie, 8 against 9 is wrong.
    assert values(found, "majority")[1] == pytest.approx(100 * (1 + 4 * 0.5) / 6)
    assert values(found, "majority")[3] == 100
    assert values(found, "weighted")[3] == 100  # 0.9 + 0.5 against 1.0
    assert found.sizes == (1, 2, 3, 4)


def test_a_number_for_each_sample_and_the_same_list_of_one_step_say_the_same(tmp_path: Path) -> None:
    numbers = [{**record, "reward": record["reward"][-1]} for record in ONE_PROBLEM]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", numbers)]).runs
    (listed,) = best_of_n([write(tmp_path / "b.jsonl", ONE_PROBLEM)], weights="last").runs
    assert values(found, "reward") == values(listed, "last")
    assert values(found, "weighted") == values(listed, "weighted")
    assert set(found.curves) == {"pass", "majority", "reward", "weighted"}


def test_an_aggregation_of_steps_is_refused_where_a_solution_has_one_reward(tmp_path: Path) -> None:
    numbers = [{**record, "reward": record["reward"][-1]} for record in ONE_PROBLEM]
    with pytest.raises(InputError, match=r"a\.jsonl: a solution has one reward.*leave --weights out"):
        best_of_n([write(tmp_path / "a.jsonl", numbers)], weights="min")


def test_answers_are_grouped_as_math_verify_compares_them() -> None:
    problem = ["1/2", "\\frac{1}{2}", "0.5", "", "$2x+2$", "2(x+1)", "12", "12.0"]
    assert same_answers([problem, ["3", "3.0", "4", " "]]) == [[0, 0, 0, -1, 1, 1, 2, 2], [0, 0, 1, -1]]


def test_what_a_record_leaves_out_is_read_from_its_last_step(tmp_path: Path) -> None:
    records = [
        {"problem_id": "p", "steps": ["So it is", f"$\\boxed{{{answer}}}$"], "answer": "\\frac{1}{2}", "reward": reward}
        for answer, reward in (("0.5", 0.1), ("3", 0.9), ("\\frac{2}{4}", 0.2))
    ]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", records)]).runs
    assert found.mean.value == pytest.approx(100 * 2 / 3)
    assert values(found, "majority")[2] == 100
    assert values(found, "reward")[2] == 0


def test_what_a_record_says_of_its_answer_is_used_as_it_is(tmp_path: Path) -> None:
    records = [sample("p", "7", False, 0.5), sample("p", "8", True, 0.2)]
    assert best_of_n([write(tmp_path / "a.jsonl", records)]).runs[0].curves["reward"][1].value == 0


def test_samples_without_answer_vote_for_nothing_and_are_counted(tmp_path: Path) -> None:
    records = [sample("p", "", False, 0.9), sample("p", "", False, 0.9), sample("p", "7", True, 0.1)]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", records)]).runs
    assert found.without_answer == 2
    assert values(found, "majority") == pytest.approx([100 / 3, 200 / 3, 100])


def test_a_reward_below_nothing_cannot_be_a_weight(tmp_path: Path) -> None:
    records = [sample("p", "7", True, -3.5), sample("p", "8", False, -4.5)]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", records)]).runs
    assert found.weights is None and "weighted" not in found.curves
    assert values(found, "reward") == [50, 100]


def test_problems_with_different_numbers_of_samples_share_a_figure(tmp_path: Path) -> None:
    records = [*ONE_PROBLEM, sample("q", "7", True, [0.5]), sample("q", "7", True, [0.7])]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", records)]).runs
    assert found.sizes == (1, 2) and found.problems == 2
    assert values(found, "min") == pytest.approx([75, 75])
    assert found.mean.value == 75


def test_runs_with_other_seeds_give_mean_and_standard_deviation(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", ONE_PROBLEM)
    second = write(tmp_path / "b.jsonl", [sample("p", "7", True, [0.5])] * 4)
    found = best_of_n([first, second])
    assert found.mean is not None and found.mean.mean == 75
    assert found.mean.std == pytest.approx(50 / 2**0.5)
    assert [one.mean for one in found.curves["min"]] == pytest.approx([75, 75, 62.5, 50])
    with pytest.raises(InputError, match=r"'p'.*the same problems"):
        best_of_n([first, write(tmp_path / "c.jsonl", [sample("q", "7", True, [0.5])] * 4)])
    with pytest.raises(InputError, match=r"other answers to the problem 'p' \('7' and '8'\)"):
        best_of_n([first, write(tmp_path / "d.jsonl", [sample("p", "7", True, [0.5], answer="8")] * 4)])


def test_selected_right_answers_with_a_wrong_step_where_labels_are_known(tmp_path: Path) -> None:
    """The wrong process behind a right answer has the higher reward: the more samples, the likelier it is selected."""
    records = [
        sample("p", "7", True, [0.9, 0.9], label=0),
        sample("p", "7", True, [0.5, 0.5], label=-1),
        sample("p", "8", False, [0.1, 0.1], label=1),
    ]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", records)]).runs
    shares = [one.value for one in found.right_with_wrong_step["min"]]
    assert shares == pytest.approx([50, 200 / 3, 100])
    del records[1]["label"]
    assert best_of_n([write(tmp_path / "a.jsonl", records)]).runs[0].right_with_wrong_step == {}


def test_a_run_directory_is_read_and_one_that_stopped_early_is_refused(tmp_path: Path) -> None:
    records = [{**record, "id": str(number), "problem": "p"} for number, record in enumerate(ONE_PROBLEM)]
    run = write_run(tmp_path / "run", records)
    from_file = best_of_n([write(tmp_path / "a.jsonl", records)]).runs[0]
    assert best_of_n([run]).runs[0].curves == from_file.curves
    write_run(run, records, settled="first-error")
    with pytest.raises(InputError, match=r"items\.jsonl, line 1, field 'settled'.*--settle all"):
        best_of_n([run])


def test_a_step_that_nobody_judged_makes_its_sample_the_last_choice(tmp_path: Path) -> None:
    records = [{**record, "id": str(number), "problem": "p"} for number, record in enumerate(ONE_PROBLEM)]
    records[1]["reward"] = [None, 1.0]
    (found,) = best_of_n([write_run(tmp_path / "run", records)]).runs
    assert found.without_score == 1
    assert values(found, "min")[3] == 100


REFUSED = {
    "no reward": ({"reward": None}, ("line 1", "'reward'", "give a number")),
    "wrong length": ({"reward": [0.5]}, ("line 1", "'reward'", "2 steps")),
    "beyond sums": ({"reward": [1e308, 1e308]}, ("line 1", "'reward'", "between -1e+06 and 1e+06")),
    "beyond floats": ({"reward": [10**400, 1]}, ("line 1", "'reward'", "must be a number")),
    "mixed": ({"reward": 0.5}, ("line 2", "'reward'", "one kind")),
    "no problem": ({"problem_id": None}, ("line 1", "'problem_id'", "grouped by it")),
    "no truth": ({"answer": None, "final_answer_correct": None}, ("line 1", "'final_answer_correct'", "'answer'")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_samples_are_one_sentence_and_exit_code_2(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = REFUSED[case]
    path = write(tmp_path / "a.jsonl", [{**ONE_PROBLEM[0], **change}, *ONE_PROBLEM[1:]])
    assert genprm(["evaluate", "best-of-n", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in ("a.jsonl", *words)), error


def test_whole_numbers_of_any_product_are_rewards(tmp_path: Path) -> None:
    records = [sample("p", "7", True, [10] * 20), sample("p", "8", False, [9] * 20)]
    (found,) = best_of_n([write(tmp_path / "a.jsonl", records)]).runs
    assert values(found, "product") == [50, 100]


def test_answers_that_are_equal_are_the_same_reference(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", ONE_PROBLEM)
    spelled = write(tmp_path / "b.jsonl", [{**record, "answer": "7.0"} for record in ONE_PROBLEM])
    assert len(best_of_n([first, spelled]).runs) == 2


def test_two_problems_under_one_id_are_refused(tmp_path: Path) -> None:
    records = [{**sample("p", "7", True, [0.5, 0.5]), "problem": text} for text in ("2 + 5?", "2 + 5?", "2 + 6?")]
    with pytest.raises(InputError, match=r"line 3, field 'problem': is another text than in line 1"):
        best_of_n([write(tmp_path / "a.jsonl", records)])


def test_fewer_samples_than_n_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", ONE_PROBLEM)
    assert genprm(["evaluate", "best-of-n", str(path), "--n", "5"]) == 2
    assert "4 solutions, fewer than 5" in capsys.readouterr().err
    assert genprm(["evaluate", "best-of-n", str(path), "--n", "0"]) == 2


def test_the_command_prints_and_writes_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", ONE_PROBLEM)
    assert (
        genprm(["evaluate", "best-of-n", str(path), "--n", "2", "--reference", "--out", str(tmp_path / "o.json")]) == 0
    )
    shown = capsys.readouterr().out
    assert "pass@N" in shown and "published" in shown and "arXiv 2501.07301" in shown
    figures = json.loads((tmp_path / "o.json").read_text())
    assert [one["value"] for one in figures["runs"][0]["curves"]["min"]] == [50, 50]
