"""How many samples and completions, and which are kept: pure, and the same whatever came in first."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm.errors import InputError
from genprm.rollout import Amounts, Budget, rule_named
from genprm.rollout.amounts import RULES
from genprm.rollout.budget import Candidate, Outcome, difficulty, pass_at_1, select

BUDGET = Budget(initial=4, batch=2, most=10, keep=4)


def outcomes(text: str) -> dict[int, Outcome]:
    names: dict[str, Outcome] = {"c": "correct", "w": "incorrect", "x": "invalid"}
    return {index: names[sign] for index, sign in enumerate(text)}


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 4), ("ccw", 4), ("ccww", 4), ("cccw", 6), ("ccccww", 6), ("cccccc", 8), ("c" * 10, 10), ("ccxxww", 6)],
)
def test_batches_come_until_enough_are_right_and_enough_wrong(text: str, size: int) -> None:
    assert BUDGET.size(outcomes(text)) == size


def test_samples_beyond_those_needed_do_not_count() -> None:
    assert BUDGET.size(outcomes("ccwwcccccc")) == 4


def test_the_paper_stops_at_2048_samples() -> None:
    assert Budget().size(outcomes("c" * 2048)) == 2048


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=12), st.integers(1, 6), st.integers(0, 5))
def test_half_are_right_and_half_wrong_with_backfill(flags: list[bool], keep: int, seed: int) -> None:
    candidates = [Candidate(index, flag, (str(index),)) for index, flag in enumerate(flags)]
    budget = Budget(initial=1, batch=1, most=1, keep=keep)
    chosen = select(candidates, budget, seed, "p")
    right = sum(flags[index] for index in chosen)
    assert len(chosen) == min(keep, len(flags)) == len(set(chosen)) and list(chosen) == sorted(chosen)
    wanted, unwanted = budget.halves
    assert right >= min(wanted, sum(flags)) and len(chosen) - right >= min(unwanted, len(flags) - sum(flags))
    random.Random(seed).shuffle(candidates)
    assert select(candidates, budget, seed, "p") == chosen


def test_the_choice_depends_on_the_seed_and_leaves_repetitions_out() -> None:
    candidates = [Candidate(index, index % 2 == 0, (str(index),)) for index in range(40)]
    wide = replace(BUDGET, initial=40, most=40)
    assert len({select(candidates, wide, seed, "p") for seed in range(8)}) > 4
    same = [Candidate(index, index % 2 == 0, (str(index % 2),)) for index in range(40)]
    assert len(select(same, BUDGET, 0, "p")) == 2


def test_more_kept_later_are_those_kept_before_and_others() -> None:
    """Also where more had to be sampled for them."""
    for seed in range(300):
        rng = random.Random(seed)
        right = [rng.random() < 0.3 for _ in range(BUDGET.most)]
        before: set[int] = set()
        for keep in (2, 4, 6):
            budget = replace(BUDGET, keep=keep)
            known: dict[int, Outcome] = {}
            while len(known) < budget.size(known):
                known[len(known)] = "correct" if right[len(known)] else "incorrect"
            candidates = [Candidate(index, right[index], (str(index),)) for index in known]
            now = set(select(candidates, budget, 0, "p"))
            assert before <= now
            before = now


def test_difficulty_counts_valid_samples_and_pass_at_1_all() -> None:
    tally = Counter(outcomes("ccxx").values())
    assert (difficulty(tally), pass_at_1(tally)) == ("easy", 0.5)
    assert difficulty(Counter(outcomes("wwx").values())) == "hard"
    assert difficulty(Counter(outcomes("cw").values())) == "medium"
    assert pass_at_1({}) is None


@pytest.mark.parametrize(("correct", "total", "k"), [(0, 16, 128), (1, 11, 128), (1, 10, 64), (8, 9, 64), (9, 10, 32)])
def test_k_by_difficulty_is_the_papers(correct: int, total: int, k: int) -> None:
    assert Amounts(128, 64, 32).of_prefix(correct, total) == k
    assert Amounts(128, 64, 32).of_problem == 128 and Amounts.fixed(3).of_prefix(correct, total) == 3


def test_the_hard_rule_is_exact_and_the_soft_one_knows_its_share() -> None:
    hard, soft = RULES["hard"].settled, RULES["soft"].settled
    assert hard(1, 8, 64) and not hard(0, 63, 64) and not hard(0, 0, 64)
    assert not soft(0, 0, 64) and not soft(4, 8, 1000) and soft(0, 32, 1000) and soft(48, 96, 1000)
    assert not soft(16, 32, 1000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Budget(keep=0), "'keep' is 0; it must be at least 1"),
        (lambda: Budget(initial=8, most=4), "at most 4 samples leave no room for 8 initial ones"),
        (lambda: Amounts(8, 0, 8), "k is 0"),
        (lambda: rule_named("rpe"), "no stop rule 'rpe'; the rules are hard, soft"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
