"""Filters and their funnel: it adds up, draws do not depend on order, and nothing is dropped without its reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate.consensus import GenPRMConsensus, LessonsConsensus
from genprm.curate.contamination import Decontaminate, runs
from genprm.curate.duplicates import NearDuplicates, jaccard, signature
from genprm.curate.evidence import Candidate
from genprm.curate.filters import (
    Answers,
    Balance,
    CodeConflict,
    Funnel,
    FunnelRow,
    Length,
    PerProblem,
    Stage,
    Truncate,
    sift,
)
from genprm.curate.texts import words
from genprm.errors import InputError
from genprm.types import Solution
from tests.curate.made import candidate, pools, rationale
from tests.rationale.strategies import patiently

STAGES: tuple[Stage, ...] = (
    GenPRMConsensus(),
    GenPRMConsensus("all"),
    LessonsConsensus(),
    LessonsConsensus("all"),
    CodeConflict(),
    Truncate(),
    Length(50),
    PerProblem(2),
    Balance(0.5),
    Decontaminate({"test": ["How many apples does Ann have left?"]}),
    NearDuplicates(),
)
chains = st.lists(st.sampled_from(STAGES), max_size=5)


@patiently
@given(pools, chains)
def test_the_funnel_adds_up(pool: tuple[Candidate, ...], chain: list[Stage]) -> None:
    sifted = sift(pool, chain)
    rows = sifted.funnel.rows
    assert [row.entered for row in rows] == [len(pool), *(row.kept for row in rows)][: len(rows)]
    assert all(row.entered == row.kept + sum(row.reasons.values()) for row in rows)
    assert len(sifted.kept) == (rows[-1].kept if rows else len(pool))
    counted = Counter((drop.stage, drop.reason) for drop in sifted.dropped)
    shown: Counter[tuple[str, str]] = Counter()
    for row in rows:
        shown.update({(row.stage, reason): count for reason, count in row.reasons.items()})
    assert counted == shown
    assert sorted([one.id for one in sifted.kept] + [drop.id for drop in sifted.dropped]) == sorted(
        one.id for one in pool
    )


@patiently
@given(pools, chains, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing_but_the_order_of_the_output(
    pool: tuple[Candidate, ...], chain: list[Stage], rng: random.Random
) -> None:
    shuffled = list(pool)
    rng.shuffle(shuffled)
    one, other = sift(pool, chain), sift(shuffled, chain)
    assert sorted(one.kept, key=lambda c: c.id) == sorted(other.kept, key=lambda c: c.id)
    assert one.funnel == other.funnel
    order = [c.id for c in pool]
    assert [c.id for c in one.kept] == sorted((c.id for c in one.kept), key=order.index)


def test_two_candidates_with_one_id_are_refused() -> None:
    with pytest.raises(InputError, match=r"1 ids stand for more than one candidate \(such as 'a'\); make ids unique"):
        sift([candidate(id="a"), candidate(id="a"), candidate(id="b")], [])


def test_a_funnel_that_does_not_add_up_cannot_be_made() -> None:
    good = FunnelRow("a", 3, 2, {"x": 1}, {}, {})
    with pytest.raises(InputError, match="stage 'a' took 4 candidates, kept 2 and dropped 1"):
        Funnel((replace(good, entered=4),))
    with pytest.raises(InputError, match="stage 'a' kept 2 candidates and 'b' took 3"):
        Funnel((good,)) + Funnel((replace(good, stage="b"),))


class Forgets:
    """A stage that does not answer for every candidate."""

    name = "forgets"

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        return Answers(candidates[1:])


def test_a_stage_must_answer_for_every_candidate() -> None:
    with pytest.raises(ValueError, match="shorter"):
        sift([candidate()], [Forgets()])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": (1,)}, "1 labels for 2 steps"),
        ({"values": (0.5,)}, "1 values for 2 steps"),
        ({"tokens": (5, 5, 5)}, "3 tokens for 2 steps"),
        ({"rationales": (rationale(),) * 3}, "3 rationales for 2 steps"),
        ({"rationales": (rationale(),), "code": ("none", "none")}, "2 code verdicts for 1 rationales"),
    ],
)
def test_a_candidate_whose_lists_do_not_fit_its_steps_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"candidate 's' has {message}"):
        replace(candidate(), **fields)


@pytest.mark.parametrize(
    ("labels", "index"),
    [((), None), ((1, 1), -1), ((1, 0, 1), 1), ((0,), 0), ((1, None, 0), None), ((1, 0, None), 1), ((None,), None)],
)
def test_the_first_error_is_the_first_zero_that_nothing_unknown_precedes(
    labels: tuple[int | None, ...], index: int | None
) -> None:
    assert Candidate(Solution("p", ("s",) * max(len(labels), 1)), labels=labels).first_error == index


def test_a_solution_with_one_step_in_conflict_is_dropped() -> None:
    kept = candidate(code=("consistent", "none"))
    assert CodeConflict().answer(kept) is kept
    assert CodeConflict().answer(candidate(code=("consistent", "conflict"))) == "conflict"


def test_a_conflict_behind_the_first_error_is_gone_once_the_solution_is_cut() -> None:
    late = candidate((0, 1), code=("consistent", "conflict"))
    assert sift([late], [CodeConflict()]).kept == ()
    assert len(sift([late], [Truncate(), CodeConflict()]).kept) == 1


def test_a_cut_solution_ends_at_its_first_error_in_every_field() -> None:
    whole = candidate((1, 0, 1, 0), tokens=(9, 8, 7, 6), code=("none",) * 4, values=(0.9, 0.1, 0.2, 0.0))
    whole = replace(whole, solution=replace(whole.solution, label=3, reward=(1.0, 0.5, 0.2, 0.1)))
    sifted = sift([whole], [Truncate()])
    (cut,) = sifted.kept
    assert (cut.solution.steps, cut.solution.reward, cut.solution.label) == (whole.solution.steps[:2], (1.0, 0.5), None)
    assert (cut.labels, cut.values, cut.tokens, len(cut.rationales), len(cut.code)) == (
        (1, 0), (0.9, 0.1), (9, 8), 2, 2,
    )  # fmt: skip
    assert sifted.funnel.rows[0].counts == {"shortened": 1}


@patiently
@given(pools)
def test_cutting_is_idempotent_and_leaves_the_error_where_it_was(pool: tuple[Candidate, ...]) -> None:
    once = sift(pool, [Truncate()]).kept
    assert sift(once, [Truncate()]).kept == once
    before = {one.id: one for one in pool}
    for one in once:
        assert one.error == before[one.id].error is not None
        assert len(one.solution.steps) == (len(before[one.id].solution.steps) if one.error == -1 else one.error + 1)


def test_length_counts_the_whole_conversation_and_what_is_not_known_is_dropped() -> None:
    pool = [candidate(id=f"s{n}", tokens=(n, 5)) for n in (4, 5, 6)] + [candidate(id="unknown")]
    sifted = sift(pool, [Length(10)])
    assert [one.id for one in sifted.kept] == ["s4", "s5"]
    assert sifted.funnel.rows[0].reasons == {"length-unknown": 1, "too-long": 1}


@patiently
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 5), st.integers(0, 3))
def test_a_cap_keeps_as_many_as_there_are_up_to_it_and_a_larger_one_keeps_them_too(
    problems: list[int], limit: int, seed: int
) -> None:
    pool = [candidate(id=f"s{n}", problem_id=f"p{problem}") for n, problem in enumerate(problems)]
    kept = {one.id for one in sift(pool, [PerProblem(limit, seed)]).kept}
    counts = Counter(one.solution.problem_id for one in pool if one.id in kept)
    assert counts == {name: min(limit, count) for name, count in Counter(one.problem_key for one in pool).items()}
    assert kept <= {one.id for one in sift(pool, [PerProblem(limit + 1, seed)]).kept}


def test_another_seed_draws_others() -> None:
    pool = [candidate(id=f"s{n}") for n in range(50)]
    drawn = [{one.id for one in sift(pool, [PerProblem(10, seed)]).kept} for seed in (0, 1)]
    assert drawn[0] != drawn[1]


@patiently
@given(st.lists(st.sampled_from([0, 1, None]), max_size=60), st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.75]))
def test_balance_meets_the_share_within_one_solution_and_keeps_the_smaller_class(
    lasts: list[int | None], share: float
) -> None:
    pool = [candidate((1, last), id=f"s{n}") for n, last in enumerate(lasts)]
    kept = sift(pool, [Balance(share)]).kept
    left = {label: sum(one.labels[1] == label for one in kept) for label in (0, 1)}
    assert len(kept) == left[0] + left[1]
    assert left[0] == lasts.count(0) or left[1] == lasts.count(1)
    for label, wanted in ((0, share), (1, 1 - share)):
        if left[label] < lasts.count(label):  # drawn from: one more would be too many
            assert left[label] <= wanted * len(kept) + 1e-6
            assert left[label] + 1 > wanted * (len(kept) + 1) - 1e-6


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_that_no_set_can_have_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="give one between 0 and 1"):
        Balance(share)


def test_a_cap_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        PerProblem(0)


def test_words_are_those_of_the_text_without_markup() -> None:
    assert words("Find $x^2$ for \\(x=200,\\!000\\).") == ["find", "x", "2", "for", "x", "200", "000"]
    assert words("Ｆind　x²") == ["find", "x2"]
    assert words("求x的值") == ["求", "x", "的", "值"]
    assert words("--- $$ ---") == []


LONG = "A farmer has seventeen sheep and all but nine of them run away into the green hills before the night"
SHORT = "What is the greatest common factor of $20!$ and $200,\\!000$?"


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (LONG.upper() + "!!", "same:farm"),
        (LONG + " How many are left?", "overlap:farm"),
        ("Once " + " ".join(LONG.split()[3:16]) + ".", "overlap:farm"),
        ("Once " + " ".join(LONG.split()[3:15]) + ".", None),
        ("what is the greatest common factor of 20 and 200 000", "same:gcf"),
        ("Tell me: " + SHORT + " Show your work.", "overlap:gcf"),
        ("Find x.", "same:tiny"),
        ("Find x. Then find y.", None),
        ("Something else entirely.", None),
    ],
)
def test_problems_of_test_sets_are_found_in_any_dress(problem: str, reason: str | None) -> None:
    tests = {"farm": [LONG], "gcf": iter([SHORT]), "tiny": ["Find $x$"]}
    assert Decontaminate(tests).reason(problem) == reason


def test_every_solution_to_a_contaminated_problem_goes() -> None:
    pool = [candidate(id="a", problem=LONG), candidate(id="b", problem=LONG), candidate(id="c")]
    sifted = sift(pool, [Decontaminate({"farm": [LONG]})])
    assert [one.id for one in sifted.kept] == ["c"]
    assert sifted.funnel.rows[0].reasons == {"same:farm": 2}
    assert sifted.funnel.rows[0].settings == {"run": 13}


_words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=16)


@patiently
@given(st.lists(_words.filter(bool), min_size=1, max_size=3), _words, st.integers(8, 10))
def test_what_is_let_through_shares_no_run_with_any_test_text(
    tests: list[list[str]], problem: list[str], run: int
) -> None:
    reason = Decontaminate({"t": map(" ".join, tests)}, run).reason(" ".join(problem))
    same = problem in tests
    mine = set(runs(problem, run))
    shares = any(mine & set(runs(text, run)) for text in tests)
    inside = any(8 <= len(text) < run and " ".join(text) in set(runs(problem, len(text))) for text in tests)
    assert reason == ("same:t" if same else "overlap:t" if shares or inside else None)


@pytest.mark.parametrize("texts", [[], [""], ["$$ --- $$"]])
def test_a_test_set_that_would_keep_nothing_out_is_refused(texts: list[str]) -> None:
    with pytest.raises(InputError, match="the test set 'empty' holds no text"):
        Decontaminate({"empty": texts})
    with pytest.raises(InputError, match="runs of 3 words"):
        Decontaminate({"t": ["a b c"]}, run=3)


def text(rng: random.Random, length: int = 60) -> list[str]:
    return [f"w{rng.randrange(500)}" for _ in range(length)]


def changed(said: list[str], count: int, rng: random.Random) -> list[str]:
    return [f"new{rng.randrange(10**6)}" if n in set(rng.sample(range(len(said)), count)) else word
            for n, word in enumerate(said)]  # fmt: skip


def solution(said: list[str], id: str, labels: tuple[int, ...] = (1,)) -> Candidate:
    return candidate(labels, id, steps=(" ".join(said),) * len(labels), rationales=())


def similarity(one: list[str], other: list[str]) -> float:
    mine, theirs = ({tuple(said[n : n + 5]) for n in range(len(said) - 4)} for said in (one, other))
    return len(mine & theirs) / len(mine | theirs)


def test_a_dropped_solution_is_like_one_that_is_kept_and_kept_ones_are_unlike() -> None:
    """Against the exact similarity of all pairs."""
    rng = random.Random(7)
    originals = [text(rng) for _ in range(40)]
    said = {f"s{n:03}": changed(originals[n % 40], rng.choice([0, 0, 1, 2, 30]), rng) for n in range(160)}
    sifted = sift([solution(one, name) for name, one in said.items()], [NearDuplicates(0.8)])
    kept = [one.id for one in sifted.kept]
    assert {drop.reason for drop in sifted.dropped} == {"duplicate", "near-duplicate"}
    for drop in sifted.dropped:
        assert max(similarity(said[drop.id], said[name]) for name in kept) >= 0.8
    pairs = [(one, other) for n, one in enumerate(kept) for other in kept[:n]]
    assert max(similarity(said[one], said[other]) for one, other in pairs) < 0.8


def test_solutions_that_differ_in_their_first_error_are_no_duplicates() -> None:
    said = text(random.Random(1))
    pool = [solution(said, "right"), solution(said, "wrong", (0,)), solution(said, "again")]
    assert [one.id for one in sift(pool, [NearDuplicates()]).kept] == ["wrong", "again"]


@patiently
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=7), max_size=12))
def test_no_two_solutions_with_the_same_words_are_kept(said: list[list[str]]) -> None:
    kept = sift([solution(one, f"s{n:02}") for n, one in enumerate(said)], [NearDuplicates(1)]).kept
    texts = [one.solution.steps for one in kept]
    assert len(set(texts)) == len(texts)
    assert {one for (one,) in texts} == {" ".join(one) for one in said} - _same_runs(said, texts)


def _same_runs(said: list[list[str]], kept: list[tuple[str, ...]]) -> set[str]:
    """Texts that are not kept because another has the same runs of five words."""

    def grams(one: Sequence[str]) -> frozenset[tuple[str, ...]]:
        return frozenset(tuple(one[n : n + 5]) for n in range(max(len(one) - 4, 1)))

    there = {grams(one.split()): one for (one,) in kept}
    return {" ".join(one) for one in said if there.get(grams(one), " ".join(one)) != " ".join(one)}


def test_minhash_signatures_agree_as_often_as_the_sets_overlap() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 2**63, 3000, dtype=np.uint64)
    one, other = np.unique(whole[:2000]), np.unique(whole[1000:])
    assert jaccard(one, other) == pytest.approx(1 / 3)
    shares = []
    for shift in range(20):
        mixed = np.uint64(shift * 2 + 1)
        shares.append(float(np.mean(signature(one * mixed) == signature(other * mixed))))
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("similarity", [0, 0.5, 1.1])
def test_a_similarity_that_cannot_be_searched_for_is_refused(similarity: float) -> None:
    with pytest.raises(InputError, match=r"give one from 0\.7 to 1"):
        NearDuplicates(similarity)
