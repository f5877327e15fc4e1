"""What is taken after a round, and what is counted."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from genprm.critique.findings import Finding, controlled, of_verifier
from genprm.critique.rounds import Standing, Turn, choose, count
from genprm.types import Solution, StepVerdict, Vote
from genprm.verify.aggregate import aggregate
from tests.critique import sums

scores = st.one_of(st.none(), st.integers(0, 4).map(lambda quarter: quarter / 4))
BEFORE = sums.solution(1, 1)


def standing(name: str, score: float | None, right: bool | None = None) -> Standing:
    return Standing(replace(BEFORE, id=name), score, right)


@given(scores, st.lists(scores, max_size=4))
def test_the_highest_score_is_taken_and_ties_go_to_the_first(old: float | None, new: list[float | None]) -> None:
    before = standing("old", old)
    candidates = [standing(f"new{place}", score) for place, score in enumerate(new)]
    taken = choose(before, candidates, if_better=False)
    if not new:
        assert taken is before
        return
    ranked = [-1.0 if score is None else score for score in new]
    assert taken is candidates[ranked.index(max(ranked))]
    careful = choose(before, candidates, if_better=True)
    assert careful in (before, taken)
    better = taken.score is not None and (old is None or taken.score > old)
    assert (careful is taken) == better


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=12))
def test_the_change_in_right_answers_is_what_was_mended_less_what_was_spoiled(
    cases: list[tuple[bool, bool, bool]],
) -> None:
    turns = []
    for number, (before, after, criticised) in enumerate(cases):
        taken = standing(f"n{number}", 0.5, after) if criticised else standing(f"o{number}", 0.5, before)
        finding = Finding(0, "") if criticised else None
        turns.append(Turn(standing(f"o{number}", 0.5, before), taken, finding))
    found = count(1, turns, 0, 0)
    right_before = sum(bool(turn.before.right) for turn in turns)
    assert found.right == right_before + found.wrong_to_right - found.right_to_wrong
    assert found.false_alarms <= found.criticised and found.changed == found.criticised


def verdict(reward: float, words: str) -> StepVerdict:
    text = (
        f"<analyze>\nLet's analyze the Paragraph 1 step by step: {words}\n</analyze>\n"
        "<output>\n**Judgement**: $\\boxed{No}$\n</output>\n"
    )
    return StepVerdict("judged", "analyze", reward=reward, judgement="No", rationale=text)


def test_the_words_are_those_of_the_vote_nearest_the_mean() -> None:
    solution = Solution("p", ("wrong",), id="s")
    votes = [Vote("", "s", n, 0, (verdict(*one),)) for n, one in enumerate([(0.0, "low"), (0.3, "near"), (0.9, "far")])]
    found = of_verifier(aggregate(solution, votes), votes)
    assert found == Finding(0, "near")


def test_a_sham_is_of_another_step_and_another_solution_and_the_same_each_time() -> None:
    solutions = {f"s{n}": sums.solution(n, 1) for n in range(6)}
    found = {name: Finding(0, f"words on {name}") for name in solutions}
    shams = controlled("sham", found, solutions, seed=3)
    assert shams == controlled("sham", found, solutions, seed=3) != controlled("sham", found, solutions, seed=4)
    assert all(one.step == 1 and one.words != found[name].words for name, one in shams.items())
