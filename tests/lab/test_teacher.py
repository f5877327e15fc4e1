"""The scripted annotator: every rationale tells the truth, and its code prints what it says."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from genprm.lab.gsm8k import inject_slip, parse_step
from genprm.lab.teacher import Teacher, flipped, swap_verdicts
from genprm.lab.world import WorldSolution, solutions
from genprm.rationale.grammar import Rationale


def taught(solution: WorldSolution, seed: int = 0) -> list[Rationale]:
    teacher = Teacher("code", random.Random(seed))
    return [teacher.world(solution.problem.nodes, t, step) for t, step in enumerate(solution.steps)]


@pytest.fixture(scope="module")
def lessons() -> list[tuple[WorldSolution, list[Rationale]]]:
    return [(solution, taught(solution, seed)) for seed, solution in enumerate(islice(solutions(1, "train"), 300))]


def test_the_judgement_is_the_truth_and_what_the_code_printed(
    lessons: list[tuple[WorldSolution, list[Rationale]]],
) -> None:
    for solution, rationales in lessons:
        for step, rationale in zip(solution.steps, rationales, strict=True):
            printed = rationale.rounds[-1].output.split()
            assert rationale.judgement == ("Yes" if step.holds else "No")
            assert (rationale.judgement == "No") == ("False" in printed)


def test_checks_differ_in_kind_not_only_in_words(lessons: list[tuple[WorldSolution, list[Rationale]]]) -> None:
    sources = [rationale.rounds[-1].source for _, rationales in lessons for rationale in rationales]
    assert sum(">=" in source or "<=" in source for source in sources) > 10  # size
    assert sum(source.count("print(") == 1 and "== " in source for source in sources) > 50  # inverse


def test_the_analysis_quotes_the_story_and_says_what_follows_from_it(
    lessons: list[tuple[WorldSolution, list[Rationale]]],
) -> None:
    units = ("A dozen is 12.", "A week has 7 days.", "A dollar is 100 cents.", "An hour has 60 minutes.")
    for solution, rationales in lessons:
        for node, rationale in zip(solution.problem.nodes, rationales, strict=True):
            assert rationale.analysis is not None
            assert f"So it is {node.expression.text(names=True)}." in rationale.analysis
            for sentence in node.because:
                assert sentence in rationale.analysis and (sentence in solution.problem.text or sentence in units)


def test_a_failed_cell_is_followed_by_one_that_runs(lessons: list[tuple[WorldSolution, list[Rationale]]]) -> None:
    twice = [rationale for _, rationales in lessons for rationale in rationales if len(rationale.rounds) == 2]
    assert twice
    assert all(
        r.rounds[0].output.endswith("Code execute Error: NameError: name 'result' is not defined\n") for r in twice
    )
    assert all("Error" not in r.rounds[1].output for r in twice)


def test_a_flipped_rationale_follows_its_output(lessons: list[tuple[WorldSolution, list[Rationale]]]) -> None:
    for _, rationales in lessons:
        for rationale in rationales:
            assert flipped(rationale).judgement != rationale.judgement


def test_swapping_turns_every_verdict_and_leaves_other_lines() -> None:
    assert swap_verdicts("9\nTrue\n") == "9\nFalse\n"
    assert swap_verdicts("9\nFalse\nTrue\n") == "9\nTrue\nTrue\n"


def test_a_slip_in_real_text_is_found_by_the_code() -> None:
    parsed = parse_step("She pays 3 * $1,250 = $<<3*1250=3750>>3,750 for 2 / 3 = <<2/3=0.67>>0.67 of it")
    for seed in range(50):
        teacher = Teacher("code", random.Random(seed))
        assert teacher.arithmetic(parsed.equations).judgement == "Yes"
        slipped = inject_slip(parsed, random.Random(seed))
        assert slipped is not None
        wrong = teacher.arithmetic(slipped.equations)
        assert wrong.judgement == "No" and "False" in wrong.rounds[-1].output.split()


def test_a_step_without_arithmetic_is_accepted() -> None:
    rationale = Teacher("code", random.Random(0)).arithmetic(())
    assert (rationale.judgement, rationale.rounds[0].output) == ("Yes", "True\n")


def test_direct_and_analyze_rationales_hold_no_code() -> None:
    solution = next(solutions(1, "train"))
    for mode in ("direct", "analyze"):
        rationale = Teacher(mode, random.Random(0)).world(solution.problem.nodes, 0, solution.steps[0])  # type: ignore[arg-type]
        assert rationale.rounds == () and (rationale.analysis is None) == (mode == "direct")
