"""Properties of the GSM8K reader: exact arithmetic, faithful spans, slips that are wrong, a calculator that refuses."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from typing import Any

import pytest

from genprm.errors import InputError
from genprm.lab import gsm8k
from genprm.lab.arithmetic import agrees, literal, normalise
from tests.conftest import shared_data

STEPS = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.",
    "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.",
    "The house is worth 80,000*1.5=$<<80000*1.5=120000>>120,000 more.",
    "She keeps half of the twelve eggs, which is <<12/2=6>>6 eggs, and sells 3 * 2 = <<3*2=6>>6 others.",
    "He walks 3 hours * 60 minutes/hour = <<3*60=180>>180 minutes.",
    "Let x be the price, so x = 5.",
)


def only(text: str) -> tuple[str, str]:
    (equation,) = gsm8k.calculator(text)
    assert literal(text[equation.start : equation.end]) == equation.claimed.lstrip("-")
    return equation.expression, equation.claimed


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    with shared_data("gsm8k/test.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines][:400]


def test_evaluation_is_exact_and_takes_arithmetic_only() -> None:
    assert gsm8k.evaluate("0.1+0.2") == Fraction(3, 10)
    assert gsm8k.evaluate("-(2+3)*4/8") == Fraction(-5, 2)
    for bad in ("__import__('os')", "2**9", "1/0", "", "(", "3 4", "9" * 300, "(" * 40 + "1" + ")" * 40, "1//0"):
        with pytest.raises(InputError):
            gsm8k.evaluate(bad)


def test_rounding_is_accepted_only_where_the_decimals_cannot_say_the_value() -> None:
    assert agrees(Fraction(100, 3), "33.33") and agrees(Fraction(100, 3), "34") and agrees(Fraction(2, 3), "0.67")
    assert not agrees(Fraction(5280), "5281") and not agrees(Fraction(100, 3), "35")


def test_numbers_and_operators_become_plain_python() -> None:
    assert normalise("$1,300 × 20% ÷ 2(3)") == "1300*(20/100)/2*(3)"
    assert [literal(number) for number in ("1,300", ".50", "007", "-0.5")] == ["1300", "0.50", "7", "-0.5"]


@pytest.mark.parametrize(
    ("text", "expression", "claimed"),
    [
        ("In 2 days she has 5 + 3 = 8.", "5+3", "8"),
        ("3 hours * 60 minutes/hour = 180 minutes", "3*60", "180"),
        ("$5 x 3 = $15", "5*3", "15"),
        ("1/2 * 10 = 5", "1/2*10", "5"),
        ("He pays (2 + 3) * $1,000 = $5,000.", "(2+3)*1000", "5000"),
        ("10/50 = 20%", "(10/50)*100", "20"),
        ("20% * 50 = 10", "(20/100)*50", "10"),
        ("$950 (current) + $250 (withdraw) = $1200", "950+250", "1200"),
        ("2+3=5+4=9", "5+4", "9"),
        ("3 - 5 = -2", "3-5", "-2"),
    ],
)
def test_the_calculator_reads_written_arithmetic(text: str, expression: str, claimed: str) -> None:
    assert only(text) == (expression, claimed)


@pytest.mark.parametrize(
    "text",
    ["6A - 5 = 30", "x + 5 = 10", "20% of 50 + 3 = 13", "8 / 1/4 = 32", "a total of 5", "5 times 4 equals 20", "2 = 2"],
)
def test_the_calculator_refuses_what_it_cannot_be_sure_of(text: str) -> None:
    assert gsm8k.calculator(text) == []


def test_the_first_wrong_equation_is_the_first_error() -> None:
    assert gsm8k.calculator_first_error(["1 + 1 = 2", "2 * 3 = 7", "1 + 1 = 3"]) == 1
    assert gsm8k.calculator_first_error(["1 + 1 = 2", "no numbers"]) == -1


@pytest.mark.parametrize("step", STEPS)
def test_spans_point_at_the_claimed_number_of_the_visible_text(step: str) -> None:
    parsed = gsm8k.parse_step(step)
    assert parsed.text == gsm8k.strip_annotations(step) and "<<" not in parsed.text
    assert len(parsed.annotated) == step.count("<<")
    for equation in parsed.equations:
        assert literal(parsed.text[equation.start : equation.end]) == equation.claimed
        assert gsm8k.holds(equation)


def test_arithmetic_in_words_is_known_from_the_annotation_only() -> None:
    words, written = gsm8k.parse_step(STEPS[3]).equations
    assert (words.expression, words.visible, written.visible) == ("12/2", False, True)
    assert not gsm8k.calculator_can_parse(gsm8k.strip_annotations(STEPS[3]), (words.start, words.end))


@pytest.mark.parametrize("kind", gsm8k.SLIP_KINDS)
def test_a_slip_changes_one_number_keeps_its_form_and_is_wrong(kind: gsm8k.SlipKind) -> None:
    made = 0
    for seed in range(20):
        for step in STEPS:
            parsed = gsm8k.parse_step(step)
            slip = gsm8k.inject_slip(parsed, random.Random(seed), kind=kind)
            if slip is None:
                continue
            made += 1
            old, new = slip.original, slip.equation
            written = slip.text[new.start : new.end]
            assert not gsm8k.holds(new) and literal(written) == new.claimed and new.expression == old.expression
            assert slip.text[: new.start] + parsed.text[old.start : old.end] + slip.text[new.end :] == parsed.text
            assert len(written.partition(".")[2]) == len(old.claimed.partition(".")[2])
            for other in slip.equations:
                assert literal(slip.text[other.start : other.end]) == other.claimed
    assert made


def test_a_step_without_equations_cannot_slip() -> None:
    assert gsm8k.inject_slip(gsm8k.parse_step(STEPS[5]), random.Random(0)) is None


def test_a_hub_row_becomes_a_record() -> None:
    row = {"question": "How many?", "answer": "She has 1+1=<<1+1=2>>2.\n\nDone.\n#### 1,002"}
    record = gsm8k.from_hub_row(row, id="a")
    assert record == {
        "id": "a",
        "problem": "How many?",
        "answer": "1002",
        "steps": ["She has 1+1=<<1+1=2>>2.", "Done."],
    }
    with pytest.raises(InputError):
        gsm8k.from_hub_row({"question": "How many?", "answer": "two"})


def test_a_slip_set_is_balanced_deterministic_and_truthful(rows: list[dict[str, Any]]) -> None:
    made = gsm8k.slip_set(rows, per_class=50, seed=3)
    assert made == gsm8k.slip_set(rows, per_class=50, seed=3) != gsm8k.slip_set(rows, per_class=50, seed=4)
    assert [solution.label == -1 for solution in made].count(True) == 50 == len(made) // 2
    reference = {row["id"]: [gsm8k.strip_annotations(step) for step in row["steps"]] for row in rows}
    for solution in made:
        assert solution.problem_id is not None
        pairs = zip(solution.steps, reference[solution.problem_id], strict=True)
        changed = [i for i, (now, before) in enumerate(pairs) if now != before]
        assert changed == ([] if solution.label == -1 else [solution.label])


def test_hard_rows_are_those_the_calculator_misses(rows: list[dict[str, Any]]) -> None:
    hard = gsm8k.slip_set(rows, per_class=1000, hard=True)
    assert hard and not any(solution.extra["calculator_parses"] for solution in hard)
    assert len(gsm8k.hard_subset(hard)) == len(hard)
    assert all(gsm8k.calculator_first_error(row.steps) != row.label for row in hard if row.label != -1)


def test_real_annotations_hold(rows: list[dict[str, Any]]) -> None:
    parsed = [gsm8k.parse_step(step) for row in rows for step in row["steps"]]
    claims = [gsm8k.holds(step.equations[i]) for step in parsed for i in step.annotated]
    assert len(claims) > 1000 and sum(claims) / len(claims) > 0.99
