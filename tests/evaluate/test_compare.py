"""Comparisons: permutation and Holm against slow computations; what is flipped; what cannot be compared."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm.cli import run as genprm
from genprm.errors import InputError
from genprm.evaluate.benchmark import processbench
from genprm.evaluate.compare import compare
from genprm.evaluate.permutation import holm, permutation_p
from genprm.evaluate.scored import Bench
from tests.evaluate.files import judged, sample, write, write_run


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_p_is_near_that_of_all_exchanges(pairs: list[tuple[bool, bool]]) -> None:
    differences = [a - b for a, b in pairs]
    every = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
             for signs in itertools.product((1, -1), repeat=len(pairs))]  # fmt: skip
    exact = np.mean([one >= abs(sum(differences)) for one in every])
    table = np.array(pairs, dtype=float)
    found = permutation_p(table[:, :1], table[:, 1:], lambda sums: sums[:, 0])
    assert found == pytest.approx(exact, abs=0.03) and found > 0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.9, 0.5]) == (1.0, 1.0)


def labelled(count: int, right: int) -> list[dict[str, object]]:
    """The first ``right`` of the solutions are judged rightly."""
    return [judged(f"s{n:03}", n % 2 - 1, [0.9 if (n < right) == (n % 2 == 0) else 0.1]) for n in range(count)]


def test_a_clear_difference_is_found_and_flipped_items_are_named(tmp_path: Path) -> None:
    better, worse = write(tmp_path / "a.jsonl", labelled(60, 54)), write(tmp_path / "b.jsonl", labelled(60, 30))
    found = compare([better, worse])
    (pair,) = found.pairs
    assert found.bench == "processbench" and found.figure == "F1"
    assert dict(found.systems) == {str(better): pytest.approx(90), str(worse): pytest.approx(50)}
    assert pair.difference.value == pytest.approx(40) and pair.difference.low > 0
    assert pair.p < 0.001 and pair.p_holm is None
    assert pair.only_first == tuple(f"s{n:03}" for n in range(30, 54)) and pair.only_second == ()


def test_a_system_does_not_differ_from_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", labelled(20, 10))
    (pair,) = compare([path, path]).pairs
    assert (pair.p, pair.difference.low, pair.difference.high, pair.only_first) == (1.0, 0, 0, ())


def test_three_systems_are_adjusted_for_three_pairs(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{right}.jsonl", labelled(40, right)) for right in (40, 30, 20)]
    found = compare(paths)
    assert len(found.pairs) == 3
    assert holm([pair.p for pair in found.pairs]) == tuple(pair.p_holm for pair in found.pairs)


def test_best_of_n_is_compared_where_there_are_no_labels(tmp_path: Path) -> None:
    good = [
        sample(f"p{n}", answer, answer == "7", [reward])
        for n in range(12)
        for answer, reward in (("7", 0.9), ("8", 0.1))
    ]
    bad = [{**record, "reward": [1 - record["reward"][0]]} for record in good]
    found = compare([write(tmp_path / "a.jsonl", good), write(tmp_path / "b.jsonl", bad)])
    assert found.bench == "best-of-n" and found.pairs[0].difference.value == 100
    assert len(found.pairs[0].only_first) == 12
    tied = [{**record, "reward": [0.5]} for record in good]
    half = compare([write(tmp_path / "a.jsonl", good), write(tmp_path / "c.jsonl", tied)])
    assert half.pairs[0].difference.value == 50


def test_a_run_and_a_file_of_the_same_solutions_are_compared(tmp_path: Path) -> None:
    records = labelled(10, 5)
    run = write_run(tmp_path / "run", records)
    assert compare([run, write(tmp_path / "a.jsonl", records)], bench="processbench").items == 10


def test_what_a_file_leaves_out_is_no_difference(tmp_path: Path) -> None:
    records = labelled(10, 5)
    run = write_run(tmp_path / "run", [{**record, "problem_id": record["id"]} for record in records])
    bare = [{name: value for name, value in record.items() if name != "problem"} for record in records]
    file = write(tmp_path / "a.jsonl", bare)
    assert compare([run, file], bench="processbench").items == 10
    assert len(processbench([run, file]).runs) == 2


def test_other_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "a.jsonl", labelled(4, 2))
    fewer = write(tmp_path / "b.jsonl", labelled(3, 2))
    with pytest.raises(InputError, match=r"a\.jsonl has the solution 's003' and .*b\.jsonl has not"):
        compare([first, fewer])
    other = write(tmp_path / "c.jsonl", [{**record, "steps": ["another"]} for record in labelled(4, 2)])
    with pytest.raises(InputError, match="differ in field 'steps' of the solution 's000'"):
        compare([first, other])
    named = [{**record, "problem_id": "p"} for record in labelled(4, 2)]
    first = write(tmp_path / "named.jsonl", named)
    for field, value in (("label", -1), ("problem_id", "another")):
        other = write(tmp_path / "d.jsonl", [*named[:3], {**named[3], field: value}])
        with pytest.raises(InputError, match=f"differ in field '{field}' of the solution 's003'"):
            compare([first, other])
    assert genprm(["compare", str(first)]) == 2
    assert "give another one" in capsys.readouterr().err
    run = write_run(tmp_path / "run", labelled(4, 2))
    (run / "config.yaml").write_text(
        "verb: rollout\ninput: in.jsonl\nidentity: {seed: 0}\nextent: {}\n", encoding="utf-8"
    )
    assert genprm(["compare", str(first), str(run)]) == 2
    assert "is a run of genprm rollout; give one of genprm verify" in capsys.readouterr().err


@pytest.mark.parametrize(("bench", "field", "value"), [
    ("prmbench", "error_steps", [1]), ("prmbench", "classification", "another"), ("best-of-n", "answer", "8"),
    ("best-of-n", "final_answer_correct", False),
])  # fmt: skip
def test_opposite_truths_are_not_compared(tmp_path: Path, bench: Bench, field: str, value: object) -> None:
    record = judged("a", 0, [0.2, 0.9], error_steps=[0], classification="x", answer="7", final_answer_correct=True)
    if field == "error_steps":
        record.pop("label")
    first = write(tmp_path / "a.jsonl", [record])
    other = write(tmp_path / "b.jsonl", [{**record, field: value}])
    assert compare([first, first], bench=bench).pairs[0].p == 1
    with pytest.raises(InputError, match=f"differ in field '{field}' of the solution 'a'"):
        compare([first, other], bench=bench)


def test_the_command_prints_and_writes_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    better, worse = write(tmp_path / "a.jsonl", labelled(20, 16)), write(tmp_path / "b.jsonl", labelled(20, 10))
    assert genprm(["compare", str(better), str(worse), "--out", str(tmp_path / "o.json")]) == 0
    shown = capsys.readouterr().out
    assert "minus" in shown and "points, paired; p" in shown and "better with" in shown
    assert json.loads((tmp_path / "o.json").read_text())["pairs"][0]["only_first"] == [
        f"s{n:03}" for n in range(10, 16)
    ]
