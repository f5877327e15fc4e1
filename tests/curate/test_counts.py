"""Rollouts as columns: nothing is counted twice, nothing is missed, and what cannot be is refused in a sentence."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate import Counts
from genprm.errors import InputError
from genprm.types import Rollout
from tests.curate.worlds import Problem, patiently, rollouts, row, worlds

WHOLE = [row("p0", -1, 3, 8), row("s", 0, 4, 8), row("s", 1, 2, 8), row("s", 2, 1, 1)]


def read(*rows: Rollout, **options: dict[str, int]) -> Counts:
    return Counts.from_rollouts(rows, **options)


@patiently
@given(worlds(), st.integers(0, 99))
def test_the_order_of_rows_changes_nothing_but_the_order_of_solutions(world: list[Problem], seed: int) -> None:
    rows = rollouts(world)
    random.Random(seed).shuffle(rows)
    found = Counts.from_rollouts(rows)
    assert found.policy == "m"
    for place, name in enumerate(found.ids):
        problem = world[int(name[1 : name.index("s")])]
        solution = problem.solutions[int(name[name.index("s") + 1 :])]
        steps = slice(found.starts[place], found.starts[place + 1])
        assert list(zip(found.correct[steps].tolist(), found.total[steps].tolist(), strict=True)) == solution.chain
        assert found.answer[place] == solution.right
        owner = found.problem[place]
        assert found.problem_ids[owner] == name[: name.index("s")]
        assert (found.pass_correct[owner], found.pass_total[owner]) == problem.alone


@patiently
@given(worlds())
def test_the_prefix_before_is_that_of_the_step_before(world: list[Problem]) -> None:
    found = Counts.from_rollouts(rollouts(world)).chain()
    expected = [
        (
            *solution.chain[step],
            *([problem.alone, *solution.chain][step]),
            any(c == 0 for c, _ in solution.chain[:step]),
        )
        for problem in world
        for solution in problem.solutions
        for step in range(len(solution.chain))
    ]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_separate_rows_of_a_prefix_are_added_and_a_key_written_twice_is_one_row() -> None:
    more = read(*WHOLE, row("s", 0, 1, 8), row("p0", -1, 0, 2), row("s", 2, 1, 1))
    assert more.correct.tolist() == [5, 2, 1]
    assert more.total.tolist() == [16, 8, 1]
    assert (more.pass_correct.tolist(), more.pass_total.tolist()) == ([3], [10])
    again = read(*WHOLE, row("s", 0, 1, 8, key="k"), row("s", 0, 1, 8, key="k"))
    assert again.total.tolist() == [16, 8, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no rollouts of solutions"),
        (WHOLE[:1], "there are no rollouts of solutions"),
        ([*WHOLE, row("s", 0, 1, 8, policy="n")], r"come from 2 policies: 'm' \(p0\), 'n' \(s\)"),
        ([WHOLE[0], WHOLE[2], WHOLE[3]], "lack steps of 1 solution: 's' step 0; finish"),
        ([*WHOLE[:2], WHOLE[3]], "'s' step 1; finish"),
        ([*WHOLE[:2], WHOLE[1], WHOLE[3]], "'s' step 1; finish"),
        ([row("s", 10**15, 1, 1)], "'s' step 0, 's' step 1, .*'s' step 4, ...; finish"),
        (WHOLE[:3], "step 1 of 's' is its highest but has 8 completions, where the last step has 1"),
        ([*WHOLE, row("s", 2, 0, 1)], "one row says that the answer of 's' is right and another that it is wrong"),
        ([*WHOLE, row("s", 0, 9, 8)], "step 0 of 's' has 9 correct of 8 completions"),
        ([*WHOLE, row("s", 0, -1, 8)], "step 0 of 's' has -1 correct"),
        ([*WHOLE, row("s", 1, 0, 0)], "step 1 of 's' has no completions; sample it again"),
        ([*WHOLE, row("p0", -1, 0, 0)], "problem 'p0' has no completions; sample it again"),
        ([*WHOLE, row("s", 1, 0, 8, problem="p1")], "'s' is a solution of problems 'p0', 'p1'"),
        ([*WHOLE, row("s", 0, 1, 10**20)], "beyond 64 bits"),
    ],
)
def test_rollouts_that_do_not_add_up_are_refused(rows: list[Rollout], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(*rows)


def test_missing_steps_of_many_solutions_are_counted_and_some_named() -> None:
    rows = [row(f"s{i}", t, 1, 1) for i in range(9) for t in (1, 2)]
    with pytest.raises(InputError, match=r"lack steps of 9 solutions: 's0' step 0, \.\.\.; finish the rollouts first"):
        read(*rows)


def test_the_number_of_steps_shows_what_is_missing_at_the_end() -> None:
    assert read(*WHOLE, steps={"s": 3}).lengths.tolist() == [3]
    with pytest.raises(InputError, match="lack steps of 1 solution: 's' step 3"):
        read(*WHOLE, steps={"s": 4})
    with pytest.raises(InputError, match="rollouts of step 2 of 's', which has 2 steps"):
        read(*WHOLE, steps={"s": 2})
    with pytest.raises(InputError, match="no rollouts of 't'; sample them first"):
        read(*WHOLE, steps={"s": 3, "t": 1})


def test_counts_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        read(*WHOLE).correct[0] = 7


def test_many_solutions_lie_behind_one_another() -> None:
    rows = (row(f"s{i}", t, 1, 1, problem="p") for i in range(20_000) for t in range(3))
    found = Counts.from_rollouts(rows)
    assert np.array_equal(found.solution, np.arange(60_000) // 3)
    assert found.last.sum() == 20_000
