"""What other samples of a problem say of a step."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from genprm.curate.consensus import SiblingConsensus
from genprm.curate.evidence import Candidate
from genprm.curate.siblings import Contradicted, contradicted, statement
from genprm.types import Solution


def solution(name: str, steps: Sequence[str], *, right: bool, problem: str = "p") -> Solution:
    return Solution(problem="?", steps=tuple(steps), id=name, problem_id=problem, final_answer_correct=right)


def found(one: Solution, *others: Solution) -> Contradicted:
    return contradicted([one], [one, *others])[one.id]


SEVEN = "Step 1: Yara drove 11 fewer miles than Vera, so Yara drove 18 - 11 = 7 miles."


@pytest.mark.parametrize(
    "step",
    [
        SEVEN,
        "Yara drove 7 miles.",
        "This means that Yara drove 7 miles.",
        "18 - 11 = 7, so Yara drove 7 miles. The answer is \\boxed{7}.",
        "We get 18 - 11 = 7. So Yara drove 7 miles.",
        "Vera drove 18 miles. Therefore, Yara drove (20 - 2) - 11 = 7 miles.",
    ],
)
def test_a_statement_is_the_last_clause_without_its_calculation(step: str) -> None:
    assert statement(step) == ("yara drove # miles", ("7",))


def test_a_step_without_a_number_states_nothing() -> None:
    assert statement("Step 2: Now we look at Yara.") is None


def test_the_first_step_that_right_samples_contradict_is_named() -> None:
    wrong = solution("w", ["Vera drove 18 miles.", "Yara drove 9 miles.", "Hugo drove 5 miles."], right=False)
    others = [solution(f"r{n}", [SEVEN, "Hugo drove 4 miles."], right=True) for n in range(3)]
    assert found(wrong, *others) == (1, True)
    assert found(wrong, others[0]) == (1, False)


def test_samples_with_a_wrong_answer_and_of_other_problems_do_not_vote() -> None:
    wrong = solution("w", ["Yara drove 9 miles."], right=False)
    others = [solution(f"o{n}", [SEVEN], right=False) for n in range(5)]
    others += [solution(f"q{n}", [SEVEN], right=True, problem="q") for n in range(5)]
    assert found(wrong, *others).step == -1


def test_a_solutions_own_vote_does_not_count() -> None:
    """Its error did the answer no harm; one other sample is enough to tell."""
    harmless = solution("h", ["Yara drove 9 miles."], right=True)
    assert found(harmless, solution("r", [SEVEN], right=True)).step == 0
    assert found(harmless, solution("r", ["Yara drove 9 miles."], right=True)).step == -1


def test_what_most_state_stands() -> None:
    most = [solution(f"m{n}", [SEVEN], right=True) for n in range(4)]
    few = [solution(f"f{n}", ["Yara drove 9 miles."], right=True) for n in range(2)]
    assert found(most[0], *most[1:], *few).step == -1
    assert found(few[0], *most, few[1]) == (0, False)


def test_the_consensus_keeps_what_annotator_and_siblings_agree_on() -> None:
    one = solution("s", ["Yara drove 7 miles.", "Hugo drove 4 miles."], right=True)
    kept, differs, silent, missing = (
        SiblingConsensus()
        .apply(
            [
                Candidate(one, votes=(1, 1, 0, 1), siblings=1),
                Candidate(one, votes=(1, 1, 0, 1), siblings=-1),
                Candidate(one, siblings=0),
                Candidate(one, votes=(-1,)),
            ]
        )
        .each
    )
    assert isinstance(kept, Candidate) and kept.agreed == 1
    assert (differs, silent, missing) == ("indices-differ", "annotator-silent", "siblings-missing")
