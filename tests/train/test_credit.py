"""Every token carries the credit of its step: cases computed by hand, and what must hold in all of them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.rollout import styles
from genprm.train.credit import TINY, Worth, advantages, on_tokens

REWARDS = st.lists(st.floats(0, 1), min_size=1, max_size=5).map(tuple)
GROUPS = st.lists(st.builds(Worth, st.sampled_from([0.0, 1.0]), st.none() | REWARDS), min_size=2, max_size=6)


def test_min_a_solution_answers_for_its_worst_step_up_to_that_step() -> None:
    """Minima 0.2 and 0.6: mean 0.4, standard deviation 0.2 * sqrt(2); the first is worst at step 1 of 3."""
    found = advantages([Worth(0, (0.9, 0.2, 0.8)), Worth(1, (0.6, 0.7))], beta=1, credit="min")
    one = 0.2 / (0.2 * math.sqrt(2) + TINY)
    assert found == [pytest.approx((-one, -one, 0.0)), pytest.approx((one, 0.0))]


def test_sum_a_step_answers_for_itself_and_all_later_ones() -> None:
    """Steps 1, 0 and 0.5, 0.5: mean 0.5, standard deviation sqrt(0.5 / 3)."""
    found = advantages([Worth(0, (1.0, 0.0)), Worth(1, (0.5, 0.5))], beta=1, credit="sum")
    one = 0.5 / (math.sqrt(0.5 / 3) + TINY)
    assert found == [pytest.approx((0.0, -one)), pytest.approx((0.0, 0.0))]


def test_outcome_and_process_are_mixed_by_beta() -> None:
    """Outcomes 0 and 1: mean 0.5, standard deviation sqrt(0.5)."""
    group = [Worth(0, (0.9, 0.2, 0.8)), Worth(1, (0.6, 0.7))]
    outcome, process = 0.5 / (math.sqrt(0.5) + TINY), 0.2 / (0.2 * math.sqrt(2) + TINY)
    mixed = -0.75 * outcome - 0.25 * process
    found = advantages(group, beta=0.25, credit="min")
    assert found[0] == pytest.approx((mixed, mixed, -0.75 * outcome))
    assert found[1] == pytest.approx((0.75 * outcome + 0.25 * process, 0.75 * outcome))
    assert advantages(group, beta=0, credit="min")[0] == pytest.approx((-outcome,) * 3)


@given(GROUPS, st.sampled_from(["sum", "min"]))
def test_what_is_not_known_is_not_made_up(group: list[Worth], credit: str) -> None:
    found = advantages(group, beta=1, credit=credit)  # type: ignore[arg-type]
    assert [len(one) for one in found] == [len(worth.steps or (0,)) for worth in group]
    assert all(one == (0.0,) for one, worth in zip(found, group, strict=True) if worth.steps is None)
    known = [worth for worth in group if worth.steps is not None]
    alone = iter(advantages(known, beta=1, credit=credit))  # type: ignore[arg-type]
    assert all(one == next(alone) for one, worth in zip(found, group, strict=True) if worth.steps is not None)


@given(REWARDS, st.integers(2, 5))
def test_where_all_are_alike_nothing_is_learned(steps: tuple[float, ...], size: int) -> None:
    found = advantages([Worth(1, steps)] * size, beta=0.5, credit="min")
    assert all(abs(value) < 1e-6 for one in found for value in one)


def test_a_token_has_the_advantage_of_the_step_that_it_begins_in() -> None:
    assert on_tokens((1.0, 2.0, 3.0), (0, 10, 20), (8, 9, 10, 12, 19, 25)) == [1, 1, 2, 2, 2, 3]
    assert on_tokens((1.0,), (0,), (8, 9)) == [1, 1]


BODIES = st.text(st.sampled_from("ab 1.\n:S"), max_size=8)


@given(st.lists(BODIES, max_size=5), st.sampled_from(["\n\n", "\n", " \n  \n"]), st.booleans())
def test_a_step_begins_where_the_one_before_ends(bodies: list[str], separator: str, marked: bool) -> None:
    text = separator.join(f"Step {place + 1}: {body}" if marked else body for place, body in enumerate(bodies))
    style: styles.Style = "step-forced" if marked else "blank-lines"
    steps, found = styles.cut(style, text).steps, styles.starts(style, text)
    assert len(found) == len(steps) and list(found) == sorted(found)
    own = [styles.unmarked(step) if marked else step for step in steps]
    spans = [text[begin:end] for begin, end in pairwise([*found, len(text)])] if steps else []
    assert all(span.endswith(words) for span, words in zip(spans[:-1], own[:-1], strict=True))
    assert not steps or own[-1] in spans[-1]
