"""First errors held against each other and against a truth."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.view.agreement import Kind, Source, confusions, first_error, kappa, kind_of, pairs

INDICES = st.one_of(st.none(), st.integers(-1, 4))
SOURCES = st.dictionaries(
    st.builds(Source, st.sampled_from("abc"), st.just("")), st.dictionaries(st.sampled_from("stuv"), INDICES)
)


@pytest.mark.parametrize(
    ("index", "truth", "kind"),
    [
        (2, 2, "exact"), (-1, -1, "clean"), (0, 2, "early"), (3, 2, "late"), (-1, 0, "missed"), (0, -1, "alarm"),
        (None, 1, "unknown"), (None, -1, "unknown"),
    ],
)  # fmt: skip
def test_each_way_to_be_right_or_wrong_has_a_name(index: int | None, truth: int, kind: Kind) -> None:
    assert kind_of(index, truth) == kind


@pytest.mark.parametrize(
    ("values", "index"),
    [((1, 0.5, 0.49), 2), ((1, 0, None), 1), ((1, None, 0), None), ((1, 1), -1), ((None,), None), ((), -1)],
)
def test_a_label_below_one_half_is_an_error_and_an_unknown_one_before_it_hides_it(
    values: tuple[float | None, ...], index: int | None
) -> None:
    assert first_error(values) == index


@given(SOURCES)
def test_disagreement_is_the_same_both_ways_and_no_more_than_is_known(
    found: dict[Source, dict[str, int | None]],
) -> None:
    for (one, other), pair in pairs(found).items():
        assert pairs(found)[other, one] == pair and one != other
        assert 0 <= pair.differ <= pair.known <= 4


@given(SOURCES, st.dictionaries(st.sampled_from("stuv"), st.integers(-1, 4), min_size=1))
def test_a_confusion_counts_every_solution_of_known_truth_once(
    found: dict[Source, dict[str, int | None]], truth: dict[str, int]
) -> None:
    assert all(sum(astuple(one)) == len(truth) for one in confusions(found, truth).values())
    assert not confusions(found, {})


def test_kappa_of_a_table_worked_by_hand() -> None:
    mine = {"a": -1, "b": -1, "c": 0, "d": 0, "e": None, "f": 1}
    theirs = {"a": -1, "b": 0, "c": 0, "d": 0, "e": 0, "g": 1}
    found = kappa(mine, theirs)
    # 3 of 4 the same; by chance 2/4 * 1/4 + 2/4 * 3/4 = 1/2; (3/4 - 1/2) / (1 - 1/2)
    assert (found.known, found.same, found.value, found.share) == (4, 3, 0.5, 0.75)
    assert found.differ == {"b": (-1, 0)}


@given(st.dictionaries(st.sampled_from("stuvwx"), INDICES), st.dictionaries(st.sampled_from("stuvwx"), INDICES))
def test_kappa_is_the_same_both_ways_and_one_only_where_all_agree(
    mine: dict[str, int | None], theirs: dict[str, int | None]
) -> None:
    found, back = kappa(mine, theirs), kappa(theirs, mine)
    assert found.value == back.value and found.same + len(found.differ) == found.known
    if found.value is not None:
        assert -1 <= found.value <= 1 and (found.value == 1) == (not found.differ)
