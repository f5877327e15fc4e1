"""Early settling: exact means that no outcome of what is left changes a label; a risk is kept where its model holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate import UNKNOWN, Labelled, Sampled, label, label_arrays, next_to_sample, settled
from genprm.curate.settle import PRIOR, _predicted
from genprm.errors import InputError
from tests.curate.worlds import chain, patiently

TWO = {"hard": (0, 95), "rpe_ratio": (10, 200), "rpe_difference": (-100, 100)}
"""Rules of two labels, with thresholds in per cent."""
sampled = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 6)).map(sorted).map(lambda x: Sampled(*x))


def the_label(rule: str, bound: float, before: tuple[int, int], here: tuple[int, int]) -> float:
    """0 behind a prefix without success."""
    if rule == "hard":
        before = (1, 1)
    return label(chain((1, 1), before, here), rule, threshold=bound)[0].values[1] or 0.0


@pytest.mark.parametrize("rule", TWO)
@patiently
@given(sampled, sampled, st.booleans(), st.data())
def test_settled_means_that_every_outcome_of_the_rest_gives_the_label_at_hand(
    rule: str, here: Sampled, before: Sampled, later: bool, data: st.DataObject
) -> None:
    bound = data.draw(st.integers(*TWO[rule])) / 100
    ends = [
        (
            the_label(rule, bound, (before.correct + b, before.most), (here.correct + h, here.most)),
            here.correct + h == 0,
        )
        for h, b in product(range(here.open + 1), range(before.open + 1))
    ]
    if rule == "hard" or not later or before.correct == before.open == 0:
        ends = [(found, False) for found, _ in ends]
    found = settled(rule, here, before=before, later=later, threshold=bound)
    assert found == (len(set(ends)) == 1) or not (here.total and before.total)
    if found and here.total and before.total:
        assert ends[0][0] == the_label(rule, bound, before[:2], here[:2])


def sample(rule: str, tables: list[np.ndarray], **options: Any) -> list[Sampled]:
    """A solution's chain as a sampler leaves it that takes the next outcome of whatever prefix is asked for."""
    most = len(tables[0])
    chain = [Sampled(int(tables[0].sum()), most, most), *(Sampled(0, 0, most) for _ in tables[1:]), Sampled(1, 1, 1)]
    while (place := next_to_sample(rule, chain, **options)) is not None:
        correct, total, _ = chain[place]
        chain[place] = Sampled(correct + int(tables[place][total]), total + 1, most)
    return chain


def labels(rule: str, prefixes: Sequence[Sampled], *, adaptive: bool) -> Labelled:
    alone, *steps, _ = (prefix[:2] for prefix in prefixes)
    return label_arrays(chain(alone, *steps, rule=rule if adaptive else None), rule)


@pytest.mark.parametrize("rule", TWO)
@patiently
@given(st.lists(st.sampled_from([0.0, 0.05, 0.3, 0.6, 1.0]), min_size=1, max_size=3), st.integers(0, 9999))
def test_a_sampler_that_stops_when_settled_finds_the_labels_of_all_completions(
    rule: str, chances: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tables = [rng.random(8) < p for p in (0.9, *chances)]
    full = labels(rule, [*(Sampled(int(t.sum()), 8, 8) for t in tables), Sampled(1, 1, 1)], adaptive=False)
    every = labels(rule, sample(rule, tables), adaptive=True)
    assert np.array_equal(every.values, full.values, equal_nan=True)
    first = labels(rule, sample(rule, tables, later=False), adaptive=True)
    assert full.first_errors()[0] == UNKNOWN or np.array_equal(first.first_errors(), full.first_errors())


@pytest.mark.parametrize("rule", TWO)
def test_with_a_risk_labels_change_no_more_often_than_stated(rule: str) -> None:
    """Where chances are as the prior says, for every step, those behind an end included."""
    rng, most, risk, runs = np.random.default_rng(1), 16, 0.1, 150
    changed, asked = np.zeros(4), 0
    for _ in range(runs):
        tables = [rng.random(most) < p for p in (1.0, *rng.beta(*PRIOR, size=3))]
        early = sample(rule, tables, risk=risk)
        full = [*(Sampled(int(t.sum()), most, most) for t in tables), Sampled(1, 1, 1)]
        changed += labels(rule, early, adaptive=True).values != labels(rule, full, adaptive=False).values
        asked += sum(prefix.total for prefix in early[1:-1])
    assert np.all(changed <= runs * risk)
    assert asked < 0.7 * runs * most * 3


def test_a_prefix_that_stopped_early_is_asked_for_again_where_the_next_label_needs_it() -> None:
    stopped = [Sampled(8, 16, 16), Sampled(7, 7, 16), Sampled(12, 16, 16), Sampled(1, 1, 1)]
    assert settled("rpe_ratio", stopped[1], before=stopped[0])
    assert next_to_sample("rpe_ratio", stopped) == 1  # 12/16 against anything from 7/16 to 16/16
    assert next_to_sample("rpe_ratio", [stopped[0], Sampled(7, 9, 16), *stopped[2:]]) is None


def test_behind_an_end_and_behind_a_first_error_nothing_is_sampled() -> None:
    rest = [Sampled(0, 0, 16), Sampled(0, 0, 16), Sampled(0, 1, 1)]
    assert next_to_sample("rpe_ratio", [Sampled(8, 16, 16), Sampled(0, 16, 16), *rest]) is None
    assert next_to_sample("rpe_ratio", [Sampled(8, 16, 16), Sampled(2, 16, 16), *rest]) == 2
    assert next_to_sample("rpe_ratio", [Sampled(8, 16, 16), Sampled(2, 16, 16), *rest], later=False) is None
    assert next_to_sample("hard", [Sampled(8, 16, 16), Sampled(0, 16, 16), *rest]) == 2
    assert next_to_sample("hard", [Sampled(8, 16, 16), Sampled(0, 16, 16), *rest], later=False) is None


def test_one_success_settles_a_hard_label_and_nothing_less_than_all_failures_the_other() -> None:
    assert settled("hard", Sampled(1, 1, 16))
    assert not settled("hard", Sampled(0, 15, 16))
    assert settled("hard", Sampled(0, 16, 16))
    assert settled("hard", Sampled(0, 9, 16), threshold=0.5)


def test_relative_progress_settles_by_bounds_on_both_sides() -> None:
    assert settled("rpe_ratio", Sampled(13, 13, 32), before=Sampled(16, 32, 32))  # 13/32 >= 0.8 * 16/32 already
    assert not settled("rpe_ratio", Sampled(12, 12, 32), before=Sampled(16, 32, 32))
    assert settled("rpe_ratio", Sampled(1, 21, 32), before=Sampled(16, 32, 32))  # at most 12/32
    assert not settled("rpe_ratio", Sampled(0, 31, 32), before=Sampled(32, 32, 32))  # 0, but MC = 0 is open
    assert settled("rpe_ratio", Sampled(0, 31, 32), before=Sampled(32, 32, 32), later=False)
    assert settled("rpe_ratio", Sampled(0, 0, 32), before=Sampled(0, 32, 32))


def test_a_risk_settles_sooner_and_more_of_it_sooner_still() -> None:
    def needed(risk: float) -> int:
        return next(
            n for n in range(129) if settled("rpe_ratio", Sampled(n, n, 128), before=Sampled(96, 128, 128), risk=risk)
        )

    assert needed(0.1) <= needed(0.01) < needed(0.0) == 77


def test_completions_to_come_are_beta_binomial() -> None:
    prefix = Sampled(3, 7, 12)
    rng = np.random.default_rng(0)
    drawn = rng.binomial(5, rng.beta(PRIOR[0] + 3, PRIOR[1] + 4, 200_000))
    assert np.allclose(_predicted(prefix), np.bincount(drawn, minlength=6) / 200_000, atol=0.005)
    assert _predicted(Sampled(3, 7, 7)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("rule", "here", "options", "message"),
    [
        ("soft", (1, 2, 4), {}, "'soft' never settles early"),
        ("rpe_ratio", (1, 2, 4), {}, "compares with the prefix before"),
        ("hard", (3, 2, 4), {}, r"Sampled\(correct=3, total=2, most=4\) cannot be"),
        ("hard", (0, 0, 0), {}, "most above 0"),
        ("hard", (1, 2, 4), {"risk": 0.5}, "risk is 0.5"),
        ("hard", (1, 2, 4), {"threshold": 2}, "threshold of 'hard' is 2"),
    ],
)
def test_what_cannot_settle_is_refused(
    rule: str, here: tuple[int, int, int], options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        settled(rule, Sampled(*here), **options)
