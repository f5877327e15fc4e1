"""Which solutions two sources agree on, and what becomes of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate.consensus import Believed, GenPRMConsensus, LessonsConsensus, annotator_index, implied_labels
from genprm.curate.evidence import Candidate
from genprm.curate.filters import sift
from genprm.errors import InputError
from tests.curate.made import candidate, candidates, pools, rationale
from tests.rationale.strategies import patiently


def answer(stage: Any, one: Candidate) -> str:
    """The reason, or "kept at" with the index that was agreed on."""
    (found,) = stage.apply([one]).each
    return found if isinstance(found, str) else f"kept at {found.agreed}"


NO_RATIONALES: dict[str, Any] = {"rationales": ()}


@pytest.mark.parametrize(
    ("labels", "votes", "up_to_error", "on_all"),
    [
        ((1, 1, 1), (-1, -1, -1, -1), "kept at -1", "kept at -1"),
        ((1, 0, 0), (1, 1, 1, 2), "kept at 1", "kept at 1"),
        ((1, 0, 1), (1, 1, 1, 1), "kept at 1", "labels-differ"),
        ((1, 0, None), (1, 1, 1, 1), "kept at 1", "labels-unknown"),
        ((1, None, 0), (2, 2, 2, 2), "labels-unknown", "labels-unknown"),
        ((1, 1, 1), (2, 2, 2, 2), "labels-differ", "labels-differ"),
        ((1, 0, 0), (2, 2, 2, -1), "labels-differ", "labels-differ"),
        ((1, 0, 0), (1, 1, 2, 2), "votes-tied", "votes-tied"),
        ((1, 0, 0), (1, None, None, None), "kept at 1", "kept at 1"),
        ((1, 0, 0), (None, None, None, 7), "votes-unparsable", "votes-unparsable"),
        ((1, 0, 0), (), "annotator-silent", "annotator-silent"),
    ],
)
def test_a_solution_is_kept_where_labels_and_the_majority_of_votes_agree(
    labels: tuple[int | None, ...], votes: tuple[int | None, ...], up_to_error: str, on_all: str
) -> None:
    one = candidate(labels, votes=votes, **NO_RATIONALES)
    assert answer(GenPRMConsensus(), one) == up_to_error
    assert answer(GenPRMConsensus("all"), one) == on_all


def test_without_votes_the_written_judgements_are_the_annotators_word() -> None:
    assert answer(GenPRMConsensus(), candidate((1, 0, 1))) == "kept at 1"
    assert answer(GenPRMConsensus(), candidate((1, 1))) == "kept at -1"
    stopped = candidate((1, 1), rationales=(rationale("Yes"),))
    assert answer(GenPRMConsensus(), stopped) == "annotator-silent"


def test_a_judgement_that_contradicts_the_agreed_labels_is_not_trained_on() -> None:
    late = (rationale("Yes"), rationale("No"), rationale("Yes"))
    wrong = candidate((1, 0, 0), votes=(1,) * 4, rationales=(rationale("Yes"), rationale("Yes")))
    assert answer(GenPRMConsensus(), wrong) == "judgement-differs"
    behind = candidate((1, 0, 0), votes=(1,) * 4, rationales=late)
    assert answer(GenPRMConsensus(), behind) == "kept at 1"
    assert answer(GenPRMConsensus("all"), behind) == "judgement-differs"


def test_the_funnel_shows_both_settings_and_what_could_not_be_read() -> None:
    pool = [
        candidate((1, 0, 1), "a", votes=(1, 1, 1, None), **NO_RATIONALES),
        candidate((1, 0, 0), "b", votes=(1, 1, 1, 1), **NO_RATIONALES),
        candidate((1, 0, 0), "c", votes=(-1, -1, None, None), **NO_RATIONALES),
    ]
    for compare, kept in (("first-error", 2), ("all", 1)):
        (row,) = sift(pool, [GenPRMConsensus(compare)]).funnel.rows
        assert row.kept == kept
        assert row.settings == {"compare": compare}
        assert row.counts == {
            "labels agree up to the first error": 2,
            "labels agree on all steps": 1,
            "annotator votes": 12,
            "unparsable votes": 3,
        }


@patiently
@given(pools)
def test_what_agrees_on_all_steps_agrees_up_to_the_first_error(pool: tuple[Candidate, ...]) -> None:
    loose, strict = (sift(pool, [GenPRMConsensus(compare)]) for compare in ("first-error", "all"))
    assert {one.id for one in strict.kept} <= {one.id for one in loose.kept}
    counts = loose.funnel.rows[0].counts
    assert counts == strict.funnel.rows[0].counts
    assert counts["labels agree on all steps"] <= counts["labels agree up to the first error"]


@patiently
@given(candidates())
def test_what_is_kept_has_one_index_in_labels_votes_and_judgements(one: Candidate) -> None:
    for kept in sift([one], [GenPRMConsensus()]).kept:
        assert kept.agreed == kept.first_error == annotator_index(one).index
        steps = len(one.solution.steps)
        compared = steps if kept.agreed == -1 else kept.agreed + 1
        implied = implied_labels(kept.agreed, steps)
        assert one.labels[:compared] == implied[:compared]
        written = zip(one.judgements[:compared], implied, strict=False)
        assert all(word in (None, "Yes" if label else "No") for word, label in written)


@given(st.integers(1, 6).flatmap(lambda steps: st.tuples(st.integers(-1, steps - 1), st.just(steps))))
def test_the_labels_of_an_index_have_it_as_their_first_error(pair: tuple[int, int]) -> None:
    index, steps = pair
    assert candidate(implied_labels(index, steps)).first_error == index


@pytest.mark.parametrize(
    ("labels", "judge", "human", "two", "three"),
    [
        ((1, 0), 1, None, "kept at 1", "index-missing"),
        ((1, 1), -1, None, "kept at -1", "index-missing"),
        ((1, 0), 0, None, "indices-differ", "index-missing"),
        ((1, 0), None, None, "index-missing", "index-missing"),
        ((1, 0), 1, 0, "kept at 1", "indices-differ"),
        ((1, 0), 0, 0, "kept at 0", "indices-differ"),
        ((1, 0), 1, 1, "kept at 1", "kept at 1"),
        ((1, 0), 0, -1, "indices-differ", "indices-differ"),
        ((None, 0), 0, 0, "kept at 0", "index-missing"),
    ],
)
def test_two_or_all_of_monte_carlo_judge_and_people_agree(
    labels: tuple[int | None, ...], judge: int | None, human: int | None, two: str, three: str
) -> None:
    one = candidate(labels, judge=judge, human=human, **NO_RATIONALES)
    assert answer(LessonsConsensus(), one) == two
    assert answer(LessonsConsensus("all"), one) == three


@given(candidates())
def test_sources_are_interchangeable_and_all_is_stricter_than_two(one: Candidate) -> None:
    swapped = replace(one, judge=one.human, human=one.judge)
    for agree in ("two", "all"):
        assert answer(LessonsConsensus(agree), one) == answer(LessonsConsensus(agree), swapped)
    if answer(LessonsConsensus("all"), one).startswith("kept"):
        assert answer(LessonsConsensus(), one) == answer(LessonsConsensus("all"), one)


def weighed(name: str, counts: tuple[tuple[int, int], ...], index: int | None, **more: Any) -> Candidate:
    one = candidate((1,) * (len(counts) - 1), votes=() if index is None else (index,) * 4, **NO_RATIONALES)
    return replace(one, solution=replace(one.solution, id=name, problem_id=f"p-{name}"), counts=counts, **more)


SURE = [weighed(f"right-{n}", ((8, 16), (10, 16), (12, 16), (1, 1)), -1) for n in range(12)] + [
    weighed(f"wrong-{n}", ((8, 16), (9, 16), (0, 16), (0, 1)), 1) for n in range(12)
]


def test_belief_keeps_what_all_that_is_known_makes_likely() -> None:
    unsure = weighed("unsure", ((8, 16), (5, 16), (3, 16), (0, 1)), None)
    counted_out = replace(unsure, counts=(), solution=replace(unsure.solution, id="uncounted"))
    *sure, _, last = Believed(0.9).apply([*SURE, unsure, counted_out]).each
    assert [one.agreed for one in sure if isinstance(one, Candidate)] == [-1] * 12 + [1] * 12
    assert last == "counts-missing"
    assert Believed(1.0).apply([*SURE, unsure]).each[-1] == "unsure"
    assert Believed().apply([counted_out]).each == ["counts-missing"]


def test_belief_goes_by_ids_not_by_order() -> None:
    forwards, backwards = Believed().apply(SURE).each, Believed().apply(SURE[::-1]).each
    assert list(forwards) == list(backwards)[::-1]


def test_a_judgement_that_contradicts_a_belief_is_not_trained_on() -> None:
    said = replace(SURE[12], rationales=(rationale("Yes"), rationale("Yes")))
    assert Believed().apply([*SURE[:12], said, *SURE[13:]]).each[12] == "judgement-differs"
    with pytest.raises(InputError, match="least is 0"):
        Believed(0)


@pytest.mark.parametrize("stage", [GenPRMConsensus, LessonsConsensus])
def test_a_setting_that_is_none_is_refused(stage: Any) -> None:
    with pytest.raises(InputError, match="is 'most'; it must be"):
        stage("most")
