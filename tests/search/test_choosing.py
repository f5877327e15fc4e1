"""Which candidate is taken, against a slow computation; and which problems are read."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.errors import InputError
from genprm.records.grading import Grader
from genprm.search import Candidate, read_problems
from genprm.search import plan as plans
from genprm.search.choosing import choose
from genprm.search.paths import Path as Written
from genprm.search.paths import distinct, ranked

quarters = st.one_of(st.none(), st.integers(0, 4).map(lambda quarter: quarter / 4))
drawn = st.lists(st.tuples(quarters, st.sampled_from(["", "7", "7.0", "8", "9"])), max_size=8)


def taken(strategy: plans.Strategy, cases: list[tuple[float | None, str]]) -> int | None:
    candidates = [Candidate(Written((n,), ("s",), end="eos"), (), *case, None) for n, case in enumerate(cases)]

    async def work() -> int | None:
        grader = Grader()
        try:
            return await choose(strategy, candidates, grader)
        finally:
            await grader.aclose()

    return asyncio.run(work())


@given(drawn)
def test_the_highest_score_is_taken_and_ties_go_to_the_first(cases: list[tuple[float | None, str]]) -> None:
    found = taken("best-of-n", cases)
    known = [(-1.0 if score is None else score, -place) for place, (score, answer) in enumerate(cases) if answer]
    assert found == (-max(known)[1] if known else None)


@given(drawn)
def test_a_weighted_vote_takes_the_answer_with_the_largest_sum(cases: list[tuple[float | None, str]]) -> None:
    found = taken("weighted", cases)
    sums: dict[float, list[float]] = defaultdict(list)
    for score, answer in cases:
        if answer:
            sums[float(answer)].append(score or 0.0)
    if found is None:
        assert not sums
        return
    won = float(cases[found][1])
    assert (sum(sums[won]), len(sums[won])) == max((sum(some), len(some)) for some in sums.values())
    mine = [-1.0 if score is None else score for score, answer in cases if answer and float(answer) == won]
    assert (-1.0 if cases[found][0] is None else cases[found][0]) == max(mine)


@given(st.lists(quarters, max_size=8))
def test_what_has_no_score_comes_last_and_ties_keep_their_order(scores: list[float | None]) -> None:
    paths = [Written((n,)) for n in range(len(scores))]
    order = [path.name[0] for path in ranked(paths, lambda path: scores[path.name[0]])]
    assert order == sorted(order, key=lambda n: (scores[n] is None, -(scores[n] or 0.0), n))


def test_what_differs_by_rounding_alone_is_a_tie() -> None:
    assert taken("best-of-n", [(0.9999762583, "7"), (0.9999762584, "8"), (0.4, "9")]) == 0
    assert taken("best-of-n", [(0.99997, "7"), (0.99998, "8")]) == 1
    assert taken("best-of-n", [(2.00001e-9, "7"), (3e-9, "8")]) == 1


def test_of_paths_that_say_the_same_the_first_stays_unless_one_goes_on() -> None:
    paths = [Written((0,), ("a",)), Written((1,), ("b",)), Written((2,), ("a",)), Written((3,), ("a",), end="eos")]
    assert [path.name[0] for path in distinct(paths)] == [0, 1, 3]


def written(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_problems_are_read_with_and_without_answers_and_out_of_solutions(tmp_path: Path) -> None:
    source = written(
        tmp_path / "in.jsonl", {"id": "a", "problem": "1 + 1?", "answer": "2", "level": 3}, {"question": "2 + 2?"},
        {"id": "s1", "problem_id": "p", "problem": "3 + 3?", "answer": "6", "steps": ["6"]},
        {"id": "s2", "problem_id": "p", "problem": "3 + 3?", "answer": "6", "steps": ["7"]},
        {"id": "m", "problem": "4 + 4?", "solution": "It is \\boxed{8}."},
    )  # fmt: skip
    found = read_problems(source).problems
    assert [(one.problem, one.answer) for one in found] == [
        ("1 + 1?", "2"), ("2 + 2?", ""), ("3 + 3?", "6"), ("4 + 4?", "8"),
    ]  # fmt: skip
    assert [one.id for one in found][::2] == ["a", "p"] and found[1].id.startswith("auto-")
    assert found[0].extra == {"level": 3} and found[2].extra == {}
    assert read_problems(source, limit=3).problems == found[:3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a"}], "in.jsonl, line 1, field 'problem': is missing"),
        ([{"id": "a", "problem": "x"}] * 2, "line 2, field 'id': 'a' is that of another problem, .* in line 1; give"),
        ([], "is empty; give at least one record"),
        ([{"problem": "x", "solution": "no box"}], "field 'solution': has no .*boxed"),
    ],
)
def test_records_that_are_no_problems_are_refused(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_problems(written(tmp_path / "in.jsonl", *rows))
    with pytest.raises(InputError, match="there is no file or data set 'nowhere'"):
        read_problems("nowhere")
