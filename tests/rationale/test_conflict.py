"""What code printed, held against what was judged: outputs as models print them."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.lab.teacher import Teacher
from genprm.lab.world import solutions
from genprm.rationale.conflict import code_verdict, code_verdicts, printed_judgement
from genprm.rationale.grammar import CodeRound, Rationale
from genprm.types import Judgement
from tests.rationale.strategies import patiently, rationales

SAYS: list[tuple[str, Judgement | None]] = [
    ("True\n", "Yes"),
    ("False\n", "No"),
    ("The sum is: 12\nTrue\n", "Yes"),
    ("Is the calculation correct? True\n", "Yes"),
    ("is_correct = False\n", "No"),
    ("Does the value match the step: False\n", "No"),
    ("The paragraph's claim is correct: True\n", "Yes"),
    ("Verification: True\n", "Yes"),
    ("Paragraph 2: Correct\n", "Yes"),
    ("The answers match.\n", "Yes"),
    ("Incorrect: 3*4 is 12\n", "No"),
    ("There is a mistake in the paragraph\n", "No"),
    ("The step is correct.\n", "Yes"),
    ("The calculation in the paragraph is mathematically correct.\n", "Yes"),
    ("Calculation is incorrect.\n", "No"),
    ("Paragraph 3 is wrong\n", "No"),
    ("The result does not match the claimed value.\n", "No"),
    ("Computed value matches the solution\n", "Yes"),
    ("Correct!\n", "Yes"),
    ("Incorrect\n", "No"),
    ("No errors found.\n", "Yes"),
    ("Error found: 3*4 is 12\n", "No"),
    ("There is an error in the second term\n", "No"),
    ("Mismatch: 3 and 4\n", "No"),
    ("Verification passed\n", "Yes"),
    ("Computed: 24\nClaimed: 25\n", "No"),
    ("Expected: 1,200, Got: 1200\n", "Yes"),
    ("Computed area = 3.14159, stated area = 3.14\n", "Yes"),
    ("Calculated probability: 1/3\nStep probability: 2/6\n", "Yes"),
    ("Actual value: 7 | Paragraph value: 9\n", "No"),
]
SILENT = [
    "12\n",
    "",
    "x = 3\ny = 4\n",
    "[True, False]\n",
    "The correct answer is 5\n",
    "The correct value: 5\n",
    "Is 17 prime: False\n",
    "Is there an error? True\n",
    "mismatch: False\n",
    "Check whether the step is correct\n",
    "If the sum is 12, the step is correct.\n",
    "Is the step correct?\n",
    "Roots are equal: False\n",
    "Check divisibility by 3: False\n",
    "The inequality does not hold for x = 3\n",
    "Number of matches played: 12\n",
    "Number of incorrect answers: 5\n",
    "P(both are correct) = 0.25\n",
    "Probability that both are correct: 0.25\n",
    "The standard error in the mean is 0.2\n",
    "The estimate has an error of 0.1\n",
    "Actual solution: 3\n",
    "Correct step value: 3\n",
    "Step 1: True positive rate\n",
    "Computed: 3.1416\nClaimed: 3.15\n",
    "Computed: 1/0\nClaimed: 3\n",
    "Computed: 3\nComputed: 4\nClaimed: 4\n",
    "Code execute Error: NameError: name 'x' is not defined\n",
    "True\nCode execute Error: ZeroDivisionError: division by zero\n",
    "Code execute time out: Code execution timed out\n",
    "Code format error: No code found.\n",
    "Error: division by zero\n",
    "True\nFalse\n",
    "The first part is correct but the second part is incorrect\n",
]


@pytest.mark.parametrize(("output", "judgement"), SAYS)
def test_what_an_output_says_of_the_step_is_read(output: str, judgement: Judgement) -> None:
    assert printed_judgement(output) == judgement


@pytest.mark.parametrize("output", SILENT)
def test_where_it_cannot_be_told_nothing_is_said(output: str) -> None:
    assert printed_judgement(output) is None
    for judgement in ("Yes", "No"):
        assert code_verdict(Rationale("", (CodeRound("print()", output),), judgement)) == "none"


@pytest.mark.parametrize(("output", "judgement"), SAYS)
def test_the_opposite_judgement_is_a_conflict(output: str, judgement: Judgement) -> None:
    opposite: Judgement = "No" if judgement == "Yes" else "Yes"
    written = [Rationale("", (CodeRound("print()", output),), one) for one in (judgement, opposite, None)]
    assert code_verdicts(written) == ("consistent", "conflict", "none")


def test_the_last_output_that_says_anything_decides() -> None:
    def verdict(*outputs: str) -> str:
        return code_verdict(Rationale("", tuple(CodeRound("print()", output) for output in outputs), "Yes"))

    assert verdict("False\n", "True\n") == "consistent"
    assert verdict("True\n", "False\n") == "conflict"
    assert verdict("False\n", "12\n") == "conflict"
    assert verdict("True\n", "Code execute Error: NameError: name 'x' is not defined\n") == "consistent"
    assert verdict("True\n", "True\nFalse\n") == "none"
    assert code_verdict(Rationale("fine", (), "Yes")) == "none"


def test_a_teacher_that_tells_the_truth_is_never_in_conflict_and_its_opposite_always() -> None:
    """On rationales whose every output and judgement is known to agree."""
    found: list[str] = []
    for seed, solution in enumerate(islice(solutions(1, "train"), 60)):
        teacher = Teacher("code", random.Random(seed))
        for index, step in enumerate(solution.steps):
            rationale = teacher.world(solution.problem.nodes, index, step)
            swapped = Rationale(rationale.analysis, rationale.rounds, swap(rationale.judgement), rationale.closing)
            verdict = code_verdict(rationale)
            found.append(verdict)
            assert verdict != "conflict"
            assert code_verdict(swapped) == ("conflict" if verdict == "consistent" else "none")
    assert found.count("consistent") > 0.8 * len(found)


def swap(judgement: Judgement | None) -> Judgement:
    return "No" if judgement == "Yes" else "Yes"


@patiently
@given(rationales)
def test_every_rationale_has_a_verdict_and_the_opposite_judgement_the_opposite_one(rationale: Rationale) -> None:
    turned = Rationale(rationale.analysis, rationale.rounds, swap(rationale.judgement), rationale.closing)
    opposite = {"consistent": "conflict", "conflict": "consistent", "none": "none"}
    if rationale.judgement is not None:
        assert code_verdict(turned) == opposite[code_verdict(rationale)]
    else:
        assert code_verdict(rationale) == "none"


@given(st.text(alphabet="0123456789.,/-+ :=Computedclaimstep\n_TrueFalse?", max_size=200))
def test_every_output_is_read_without_failing(output: str) -> None:
    assert printed_judgement(output) in ("Yes", "No", None)
