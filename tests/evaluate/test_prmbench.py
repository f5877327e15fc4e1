"""PRMBench: an independent slow count, pairs, categories, and the real rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genprm.cli import run as genprm
from genprm.errors import InputError
from genprm.evaluate.compare import compare
from genprm.evaluate.prmbench import prmbench
from genprm.records import read_lines
from tests.conftest import shared_data
from tests.evaluate.files import judged, write, write_run

REWARDS = st.none() | st.sampled_from([0.0, 0.4, 0.5, 1.0])
Made = list[tuple[list[float | None], list[int]]]


@st.composite
def solutions(draw: st.DrawFn) -> Made:
    """(rewards, wrong steps) of solutions, the first with an error."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        steps = draw(st.integers(1, 5))
        rewards = draw(st.lists(REWARDS, min_size=steps, max_size=steps))
        wrong = draw(st.sets(st.integers(0, steps - 1), min_size=number == 0))
        made.append((rewards, sorted(wrong)))
    return made


def harmonic(tp: int, fp: int, fn: int) -> float:
    precision, recall = tp / (tp + fp) if tp + fp else 0, tp / (tp + fn) if tp + fn else 0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0


def slow(made: Made) -> tuple[float, float, float, float]:
    """F1, negative F1, accuracy, first error."""
    tp = fp = tn = fn = found = 0
    for rewards, wrong in made:
        for step, reward in enumerate(rewards):
            right = step not in wrong
            said_right = reward >= 0.5 if reward is not None else not right
            tp, fn = tp + (right and said_right), fn + (right and not said_right)
            fp, tn = fp + (not right and said_right), tn + (not right and not said_right)
        found += bool(wrong) and rewards[wrong[0]] is not None and rewards[wrong[0]] < 0.5  # type: ignore[operator]
    return harmonic(tp, fp, fn), harmonic(tn, fn, fp), (tp + tn) / (tp + fp + tn + fn), found / len(made)


def records(made: Made) -> list[dict[str, object]]:
    return [
        judged(str(n), min(wrong, default=-1), rewards, error_steps=wrong, classification="circular")
        for n, (rewards, wrong) in enumerate(made)
    ]


@given(solutions())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_equal_a_slow_count(tmp_path: Path, made: Made) -> None:
    (found,) = prmbench([write_run(tmp_path / "run", records(made))]).runs
    f1, negative, accuracy, first = slow([one for one in made if one[1]])
    overall = found.overall
    assert overall.f1.value == pytest.approx(100 * f1)
    assert overall.negative_f1.value == pytest.approx(100 * negative)
    assert overall.prm_score.value == pytest.approx(50 * (f1 + negative))
    assert overall.accuracy.value == pytest.approx(100 * accuracy)
    assert overall.first_error is not None and overall.first_error.value == pytest.approx(100 * first)
    assert overall.unjudged == sum(reward is None for rewards, wrong in made if wrong for reward in rewards)


CATEGORIES = ("circular", "confidence", "multi_solutions")


@given(solutions(), st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_of_every_category_equal_a_slow_count(tmp_path: Path, made: Made, data: st.DataObject) -> None:
    """Rewards tie with the threshold; a right solution counts into the whole where it was made for PRMBench."""
    named = [data.draw(st.sampled_from(CATEGORIES)) for _ in made]
    rows = [{**row, "classification": name} for row, name in zip(records(made), named, strict=True)]
    (found,) = prmbench([write_run(tmp_path / "run", rows)]).runs
    parts: dict[str, Made] = {}
    for name, one in zip(named, made, strict=True):
        parts.setdefault(name if one[1] or name == "multi_solutions" else "correct", []).append(one)
    assert set(found.categories) == set(parts)
    parts["overall"] = [one for name, some in parts.items() if name != "correct" for one in some]
    for name, some in parts.items():
        shown = found.overall if name == "overall" else found.categories[name]
        f1, negative, accuracy = slow(some)[:3]
        assert (shown.f1.value, shown.negative_f1.value) == pytest.approx((100 * f1, 100 * negative))
        assert shown.prm_score.value == pytest.approx(50 * (f1 + negative))
        assert shown.accuracy.value == pytest.approx(100 * accuracy)
        assert shown.prm_score.low <= shown.prm_score.high and shown.solutions == len(some)


@given(solutions())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_paired_difference_of_two_verifiers_is_that_of_slow_counts(tmp_path: Path, made: Made) -> None:
    other = [(rewards[::-1], wrong) for rewards, wrong in made]
    paths = [write_run(tmp_path / name, records(one)) for name, one in (("a", made), ("b", other))]
    (pair,) = compare(paths, bench="prmbench").pairs
    scores = [sum(slow([one for one in some if one[1]])[:2]) for some in (made, other)]
    assert pair.difference.value == pytest.approx(50 * (scores[0] - scores[1]))


def test_solutions_without_an_error_are_a_category_of_their_own(tmp_path: Path) -> None:
    rows = records([([0.1, 0.9], [0]), ([0.9, 0.1], [])])
    rows[1]["problem"] = rows[0]["problem"]
    (found,) = prmbench([write(tmp_path / "a.jsonl", rows)]).runs
    assert found.pairs == 1 and list(found.categories) == ["circular", "correct"]
    assert found.overall == found.categories["circular"] and found.overall.prm_score.value == 100
    assert found.categories["correct"].accuracy.value == 50 and found.categories["correct"].first_error is None


def test_seeds_give_mean_and_standard_deviation(tmp_path: Path) -> None:
    good = write(tmp_path / "a.jsonl", records([([0.1, 0.9], [0])]))
    bad = write(tmp_path / "b.jsonl", records([([0.9, 0.1], [0])]))
    found = prmbench([good, bad]).spreads["overall"]["prm_score"]
    assert found.mean == 50 and found.std == pytest.approx(100 / 2**0.5)
    with pytest.raises(InputError, match=r"has the solution '1' and"):
        prmbench([good, write(tmp_path / "c.jsonl", records([([0.9, 0.1], [0])] * 2))])


def test_steps_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = records([([0.1, 0.9], [0])])
    for change, words in (
        ({"error_steps": [-1, 0]}, "holds -1"),
        ({"error_steps": None}, "is missing"),
        ({"error_steps": [1]}, "begins with 1, but 'label' is 0"),
        ({"reward": 0.5}, "must be a list"),
    ):
        path = write(tmp_path / "a.jsonl", [{**rows[0], **change}])
        assert genprm(["evaluate", "prmbench", str(path)]) == 2
        error = capsys.readouterr().err
        assert "a.jsonl, line 1, field" in error and words in error


def test_real_rows_are_pairs_and_a_perfect_judge_gets_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for _, row in read_lines(shared_data("prmbench/counterfactual.jsonl"))]
    perfect = [
        {**row, "reward": [float(step not in row["error_steps"]) for step in range(len(row["steps"]))]} for row in rows
    ]
    path = write(tmp_path / "a.jsonl", perfect)
    (found,) = prmbench([path]).runs
    assert (found.overall.solutions, found.categories["correct"].solutions) == (266, 266)
    assert found.pairs == 266
    assert found.overall.prm_score.value == found.overall.prm_score.low == 100
    named = [step < len(row["steps"]) for row in rows for step in row["error_steps"]]
    assert found.overall.wrong_steps == sum(named) and found.beyond == named.count(False) > 0
    assert genprm(["evaluate", "prmbench", str(path), "--reference"]) == 0
    assert "counterfactual" in capsys.readouterr().out
