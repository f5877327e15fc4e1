"""ProcessBench from files: an independent slow computation, thresholds, subsets, seeds, groups and diagnostics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genprm.cli import run as genprm
from genprm.errors import InputError
from genprm.evaluate.benchmark import processbench
from genprm.evaluate.processbench import evaluate_run
from genprm.evaluate.reference import published
from genprm.evaluate.thresholds import best_threshold
from genprm.records import read_lines
from tests.evaluate.files import judged, write, write_run

LOW = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@st.composite
def solutions(draw: st.DrawFn) -> tuple[list[list[float | None]], list[int]]:
    """Rewards with ties and gaps, and labels of both classes."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=8))
    rewards = [draw(st.lists(st.none() | LOW, min_size=length, max_size=length)) for length in lengths]
    labels = [draw(st.integers(-1, length - 1)) for length in lengths]
    return rewards, [0, -1, *labels[2:]]


def slow_f1(rewards: list[list[float | None]], labels: list[int], threshold: float) -> float:
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for own, label in zip(rewards, labels, strict=True):
        said: int | None = -1
        for step, reward in enumerate(own):
            if reward is None or reward < threshold:
                said = None if reward is None else step
                break
        hits[label >= 0].append(said == label)
    errors, clean = (sum(hits[kind]) / len(hits[kind]) for kind in (True, False))
    return 2 * errors * clean / (errors + clean) if errors + clean else 0.0


@given(solutions(), LOW)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_equal_a_slow_count(
    tmp_path: Path, made: tuple[list[list[float | None]], list[int]], threshold: float
) -> None:
    rewards, labels = made
    records = [judged(str(n), label, own) for n, (own, label) in enumerate(zip(rewards, labels, strict=True))]
    run = write_run(tmp_path / "run", records)
    items = [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]
    write(run / "items.jsonl", [{**item, "predicted_label": _said(item["rewards"])} for item in items])
    expected = pytest.approx(100 * slow_f1(rewards, labels, threshold))
    assert evaluate_run(run, threshold=threshold).maj.f1.value == expected
    file = write(tmp_path / "file.jsonl", records)
    assert processbench([file], threshold=threshold).runs[0].subsets["file"].maj.f1.value == expected


def _said(rewards: list[float | None]) -> int | None:
    for step, reward in enumerate(rewards):
        if reward is None or reward < 0.5:
            return None if reward is None else step
    return -1


@given(solutions())
@settings(deadline=None, max_examples=50)
def test_the_best_threshold_is_the_best_of_all(made: tuple[list[list[float | None]], list[int]]) -> None:
    rewards, labels = made
    every = [0.0, 0.25, 0.5, 0.75, 1.0, 2.0]
    best = max(slow_f1(rewards, labels, threshold) for threshold in every)
    try:
        found = best_threshold([tuple(own) for own in rewards], labels)
    except InputError:
        assert best == 0
    else:
        assert slow_f1(rewards, labels, found) == pytest.approx(best)


def subset(path: Path, name: str, count: int = 6, level: float = 0.5) -> Path:
    """Rewards that a threshold between level and level + 0.2 reads rightly, and 0.5 perhaps not."""
    records = []
    for number in range(count):
        label = number % 2 - 1
        low = level if label == 0 else level + 0.2
        records.append(judged(f"{name}-{number}", label, [low, level + 0.2], final_answer_correct=label < 0))
    return write(path, records)


def test_a_threshold_is_chosen_on_one_subset_and_reused(tmp_path: Path) -> None:
    first = subset(tmp_path / "a.jsonl", "gsm8k", level=2.0)
    second = subset(tmp_path / "b.jsonl", "math", level=2.1)
    plain, tuned = processbench([first, second]), processbench([first, second], threshold="first")
    assert [report.maj.f1.value for report in plain.runs[0].subsets.values()] == [0, 0]
    assert tuned.runs[0].chosen_on == "gsm8k" and tuned.runs[0].threshold == 2.2
    assert {name: report.maj.f1.value for name, report in tuned.runs[0].subsets.items()} == {"gsm8k": 100, "math": 100}
    assert tuned.runs[0].mean_f1 is not None and tuned.runs[0].mean_f1.value == 100


def test_one_file_of_several_subsets_is_taken_apart(tmp_path: Path) -> None:
    first, second = subset(tmp_path / "a.jsonl", "gsm8k"), subset(tmp_path / "b.jsonl", "math", level=0.2)
    both = write(tmp_path / "c.jsonl", [row for path in (first, second) for _, row in read_lines(path)])
    found = processbench([both]).runs[0]
    assert {name: report.maj.f1.value for name, report in found.subsets.items()} == {"gsm8k": 0, "math": 0}
    assert processbench([both]).runs[0] == processbench([first, second]).runs[0]


def test_the_same_solutions_again_are_another_seed(tmp_path: Path) -> None:
    right = write(tmp_path / "a.jsonl", [judged("x", 0, [0.1]), judged("y", -1, [0.9])])
    wrong = write(tmp_path / "b.jsonl", [judged("x", 0, [0.9]), judged("y", -1, [0.9])])
    found = processbench([right, wrong])
    assert len(found.runs) == 2
    assert found.spreads["a"].mean == 50 and found.spreads["a"].std == pytest.approx(100 / 2**0.5)
    some = write(tmp_path / "c.jsonl", [judged("x", 0, [0.9]), judged("z", -1, [0.9])])
    with pytest.raises(InputError, match=r"a\.jsonl and .*c\.jsonl share some solutions \('x'\) and not all"):
        processbench([right, some])
    for field, value in (("label", -1), ("steps", ["another"])):
        other = write(tmp_path / "d.jsonl", [{**judged("x", 0, [0.1]), field: value}, judged("y", -1, [0.9])])
        with pytest.raises(InputError, match=f"differ in field '{field}' of the solution 'x'"):
            processbench([right, other])


def test_what_a_record_states_must_be_one_of_its_steps(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [judged("x", 0, [0.1], predicted_label=1)])
    with pytest.raises(InputError, match=r"line 1, field 'predicted_label': must be the index of one of the 1 steps"):
        processbench([path])


def test_what_is_not_finished_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [judged("x", 0, [0.1]), judged("y", -1, [None])]
    assert genprm(["evaluate", "processbench", str(write_run(tmp_path / "done", records))]) == 0
    assert "not finished" not in capsys.readouterr().out
    run = write_run(tmp_path / "run", records, settled=None)
    assert processbench([run]).runs[0].subsets["run"].unfinished == 2
    assert genprm(["evaluate", "processbench", str(run)]) == 0
    assert "2 of them are not finished" in capsys.readouterr().out


def test_a_problem_is_resampled_with_all_its_solutions(tmp_path: Path) -> None:
    """Ten copies of each solution say no more than one."""
    records = [judged(f"{n}", n % 2 - 1, [0.9 if (n % 3 == 0) == (n % 2 == 0) else 0.1]) for n in range(40)]
    copies = [{**record, "id": f"{record['id']}-{copy}"} for record in records for copy in range(10)]
    once = evaluate_run(write(tmp_path / "a.jsonl", records)).maj
    often = evaluate_run(write(tmp_path / "b.jsonl", copies)).maj
    assert (often.f1.value, often.f1.low, often.f1.high) == pytest.approx((once.f1.value, once.f1.low, once.f1.high))


def test_groups_of_kind_position_length_and_generator(tmp_path: Path) -> None:
    records = [
        judged("a", 0, [0.1, 0.9, 0.9], kind="slip", generator="g"),
        judged("b", 2, [0.9, 0.9, 0.9], kind="operand", generator="h"),
        judged("c", -1, [0.9] * 6, generator="g"),
        judged("d", -1, [0.1] * 6, generator="h"),
    ]
    groups = evaluate_run(write(tmp_path / "a.jsonl", records)).groups
    shown = {name: [(one.name, one.f1 and one.f1.value) for one in found] for name, found in groups.items()}
    assert shown["kind"] == [("operand", 0), ("slip", pytest.approx(200 / 3))]
    assert shown["position"] == [("first third", pytest.approx(200 / 3)), ("last third", 0)]
    assert shown["length"] == [("1–4 steps", None), ("5–7 steps", None)]
    assert shown["generator"] == [("g", 100), ("h", 0)]


def test_diagnostics_by_hand(tmp_path: Path) -> None:
    records = [
        judged("a", 1, [0.9, 0.9, 0.1], final_answer_correct=True),  # seen, not at its place; lowest at the last step
        judged("b", 0, [0.2, 0.5, 0.2], final_answer_correct=True),  # named; the last step shares the lowest reward
        judged("c", -1, [0.6, 0.9], final_answer_correct=True),
        judged("d", 0, [0.7, 0.9], final_answer_correct=False),
    ]
    report = evaluate_run(write(tmp_path / "a.jsonl", records))
    assert report.last_minimum is not None and report.last_minimum.value == pytest.approx(100 * 1.5 / 4)
    behind = report.behind_right_answers
    assert behind is not None and behind.found is not None and behind.exact is not None
    assert (behind.solutions, behind.share.value) == (2, pytest.approx(200 / 3))
    assert (behind.found.value, behind.exact.value) == (100, 50)
    assert report.calibration is not None and report.calibration.count == 6  # nothing behind a first error
    squares = (0.1**2 + 0.9**2) + 0.2**2 + (0.4**2 + 0.1**2) + 0.7**2
    assert report.calibration.brier == pytest.approx(squares / 6)


@pytest.mark.parametrize("bench", ["processbench", "prmbench", "best-of-n"])
def test_published_numbers_have_a_source_and_means_are_means(bench: str) -> None:
    for table in published(bench):
        for row in table.rows:
            assert row.source and all(0 <= value <= 100 for value in row.figures.values())
            if len(row.figures) == 5 and "mean" in row.figures:
                four = [value for name, value in row.figures.items() if name != "mean"]
                assert row.figures["mean"] == pytest.approx(sum(four) / 4, abs=0.11), row.model
    with pytest.raises(InputError, match="no published numbers of 'chess'"):
        published("chess")


def test_the_command_takes_subsets_and_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = subset(tmp_path / "a.jsonl", "gsm8k"), subset(tmp_path / "b.jsonl", "math")
    arguments = ["evaluate", "processbench", str(first), str(second), "--threshold", "first", "--reference"]
    assert genprm(arguments) == 0
    shown = capsys.readouterr().out
    assert "mean F1 of 2 subsets" in shown and "chosen on gsm8k" in shown and "this run" in shown
    assert genprm(["evaluate", "processbench", str(first), "--threshold", "high"]) == 2
    assert "threshold is 'high'" in capsys.readouterr().err
    assert genprm(["evaluate", "processbench", str(first), "--curve"]) == 2
    assert "keeps no votes" in capsys.readouterr().err
    write(tmp_path / "c.jsonl", [judged("x", 0, [0.1]) | {"reward": 0.1}])
    assert genprm(["evaluate", "processbench", str(tmp_path / "c.jsonl")]) == 2
    assert "c.jsonl, line 1, field 'reward'" in capsys.readouterr().err


def test_groups_may_have_any_name(tmp_path: Path) -> None:
    names = ("²", "9" * 5000, "slip")
    bare = {"problem": "p", "steps": ["s"], "reward": [0.9]}
    records = [{**bare, "id": name, "generator": name, "label": place - 1} for place, name in enumerate(names[:2])]
    path = write(tmp_path / "odd.jsonl", [*records, {**bare, "id": "c", "generator": names[2], "label": -1}])
    assert {one.name for one in evaluate_run(path).groups["generator"]} == set(names)
