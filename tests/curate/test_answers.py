"""The best-scored solution of each problem, against a slow search."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given

from genprm.curate import RULES, best_candidates, label, label_arrays
from genprm.curate.answers import AGGREGATIONS, Aggregation
from genprm.errors import InputError
from tests.curate.worlds import Problem, Solved, counts, patiently, worlds

SLOW: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "mean": lambda values: sum(values) / len(values),
    "product": math.prod,
    "last": lambda values: values[-1],
}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("before_answer", [False, True])
@patiently
@given(world=worlds(4))
def test_candidates_are_those_of_a_slow_search(
    world: list[Problem], aggregation: Aggregation, before_answer: bool
) -> None:
    some = counts(world)
    for rule in RULES:
        found = best_candidates(label_arrays(some, rule), aggregation, before_answer=before_answer)
        values = {one.id: list(one.values)[: -1 if before_answer else None] for one in label(some, rule)}
        by_problem = {one.problem_id: one for one in found.candidates}
        for place, problem in enumerate(world):
            scored = [
                (SLOW[aggregation](known), solution.right, f"p{place}s{number}")
                for number, solution in enumerate(problem.solutions)
                if (known := values[f"p{place}s{number}"]) and None not in known
            ]
            if not scored:
                assert f"p{place}" in found.unscored
                continue
            best = max(score for score, _, _ in scored)
            tied = [one for one in scored if one[0] == pytest.approx(best, abs=1e-12)]
            candidate = by_problem[f"p{place}"]
            assert candidate.score == pytest.approx(best, abs=1e-12)
            if candidate.tied == len(tied):  # sums in another order may part what is equal on paper
                assert candidate.id == tied[0][2]
                assert candidate.correct == pytest.approx(sum(right for _, right, _ in tied) / len(tied))
            else:
                assert aggregation in ("mean", "product")
        if found.candidates:
            assert found.accuracy == pytest.approx(sum(one.correct for one in found.candidates) / len(found.candidates))


def test_ties_share_their_correctness() -> None:
    world = [Problem((4, 8), (Solved(((4, 8),), True), Solved(((4, 8),), False), Solved(((2, 8),), True)))]
    found = best_candidates(label_arrays(counts(world), "soft"), before_answer=True)
    assert found.candidates[0].id == "p0s0"
    assert (found.candidates[0].tied, found.candidates[0].correct, found.accuracy) == (2, 0.5, 0.5)


def test_scores_that_read_the_own_answer_know_it() -> None:
    world = [Problem((4, 8), (Solved(((8, 8),), False), Solved(((1, 8),), True)))]
    labelled = label_arrays(counts(world), "soft")
    assert best_candidates(labelled).accuracy == 1
    assert best_candidates(labelled, before_answer=True).accuracy == 0


def test_a_problem_without_any_score_is_named() -> None:
    world = [Problem((0, 8), (Solved(((8, 8),), False),))]
    found = best_candidates(label_arrays(counts(world), "rpe_ratio"))
    assert (found.candidates, found.unscored, found.accuracy) == ((), ("p0",), None)


def test_an_unknown_aggregation_is_refused() -> None:
    world = [Problem((4, 8), (Solved(((8, 8),), False),))]
    with pytest.raises(InputError, match="no aggregation 'max'; it must be one of min, mean, product, last"):
        best_candidates(label_arrays(counts(world), "soft"), "max")  # type: ignore[arg-type]
