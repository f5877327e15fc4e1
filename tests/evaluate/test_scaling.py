from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from genprm.cli import run as genprm
from genprm.errors import InputError
from genprm.evaluate import evaluate_run
from genprm.evaluate.scaling import scaling_curve, subset_labels, subsets
from genprm.records import dump_line, item_to_dict, solution_to_dict, vote_to_dict
from genprm.records.lines import write_lines
from genprm.types import Settled, Solution, StepVerdict, Vote
from genprm.verdicts import VoteRule
from genprm.verify.aggregate import aggregate


def vote(name: str, index: int, *rewards: float | None) -> Vote:
    steps = [
        StepVerdict("failed", "direct", failure="budget")
        if reward is None
        else StepVerdict("judged", "direct", reward, reward, 1 - reward, "Yes" if reward >= 0.5 else "No")
        for reward in rewards
    ]
    return Vote(f"{name} {index}", name, index, 0, tuple(steps))


def write_run(folder: Path, votes: int = 8, settled: Settled | None = "all", missing: int = 0) -> None:
    """Forty solutions of two steps; a vote finds an error, or sees that there is none, three times of four."""
    rng = random.Random(0)
    solutions = [Solution("p", ("s", "t"), id=str(n), label=n % 2 - 1) for n in range(40)]
    every = []
    for one in solutions:
        for index in range(votes):
            right = rng.random() < 0.75
            every.append(vote(one.id, index, 0.9 if right == (one.label == -1) else 0.2, rng.choice((0.9, 0.8, None))))
    items = [aggregate(one, [each for each in every if each.id == one.id]) for one in solutions]
    write_lines(folder / "solutions.jsonl", map(solution_to_dict, solutions))
    write_lines(folder / "items.jsonl", [{**item_to_dict(item), "settled": settled} for item in items])
    write_lines(folder / "votes.jsonl", map(vote_to_dict, every[missing:]))


def test_votes_beyond_those_of_the_items_do_not_count(tmp_path: Path) -> None:
    write_run(tmp_path, votes=4)
    four = evaluate_run(tmp_path)
    more = [vote(str(n), index, 0.1, 0.1) for n in range(40) for index in range(4, 6)]
    with (tmp_path / "votes.jsonl").open("a") as file:
        file.writelines(dump_line(vote_to_dict(one)) + "\n" for one in more)
    assert evaluate_run(tmp_path) == four
    assert len(scaling_curve(tmp_path)) == 4


def test_the_curve_rises_from_single_votes_to_all_of_them(tmp_path: Path) -> None:
    write_run(tmp_path)
    curve, report = scaling_curve(tmp_path), evaluate_run(tmp_path)
    assert list(curve) == list(range(1, 9))
    assert curve[8].f1 == report.maj.f1
    # The accuracies of single votes are the same, and F1 of their means is at least the mean of F1.
    assert report.pass_at_1 is not None and curve[1].f1.value >= report.pass_at_1.f1.value
    assert curve[1].error_accuracy.value == pytest.approx(report.pass_at_1.error_accuracy.value)
    assert curve[1].correct_accuracy.value == pytest.approx(report.pass_at_1.correct_accuracy.value)
    assert curve[1].f1.value < curve[3].f1.value < curve[8].f1.value
    assert scaling_curve(tmp_path) == curve


@pytest.mark.parametrize("threshold", [0.15, 0.7, 0.85])
def test_the_curve_ends_with_the_figure_of_all_votes_at_every_threshold(tmp_path: Path, threshold: float) -> None:
    write_run(tmp_path)
    assert scaling_curve(tmp_path, threshold=threshold)[8].f1 == evaluate_run(tmp_path, threshold=threshold).maj.f1


def test_votes_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    items = (tmp_path / "items.jsonl").read_text().splitlines()
    items[1] = json.dumps({**json.loads(items[1]), "votes": "x"})
    (tmp_path / "items.jsonl").write_text("\n".join(items))
    with pytest.raises(InputError, match=r"items\.jsonl, line 2, field 'votes'"):
        evaluate_run(tmp_path)


@pytest.mark.parametrize("rule", ["mean", "majority"])
def test_a_subset_gives_the_label_that_these_votes_alone_would_give(rule: VoteRule) -> None:
    rng = random.Random(1)
    solution = Solution("p", ("s", "t"), id="a")
    votes = [vote("a", n, rng.random(), rng.choice((None, rng.random()))) for n in range(5)]
    chosen = subsets(5, 3, seed=0)
    assert len(chosen) == 10
    expected = [
        aggregate(solution, [one for one, member in zip(votes, row, strict=True) if member], rule).predicted_label
        for row in chosen
    ]
    assert subset_labels(votes, chosen, rule) == expected


def test_an_incomplete_run_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, settled="labels")
    with pytest.raises(InputError, match=r"settled: labels.*--settle all"):
        scaling_curve(tmp_path)
    write_run(tmp_path, missing=2)
    with pytest.raises(InputError, match="votes to a solution: 6 to 8"):
        scaling_curve(tmp_path)


def test_the_command_prints_and_writes_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path)
    assert genprm(["evaluate", "processbench", str(tmp_path), "--curve", "--out", str(tmp_path / "figures.json")]) == 0
    printed = capsys.readouterr().out
    assert "40 solutions with a label" in printed and "single votes (8)" in printed
    assert '"curve"' in (tmp_path / "figures.json").read_text()
    assert genprm(["evaluate", "processbench", str(tmp_path / "none")]) == 2
