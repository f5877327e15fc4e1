"""What a judge, several votes and people say of where a solution first goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate.human import first_error_of_ratings, read_annotations, solution_from_prm800k, with_label
from genprm.curate.judge import judge_prompt, majority, parse_index
from genprm.errors import InputError, RecordError
from genprm.records import write_lines
from genprm.types import Solution
from tests.conftest import shared_data

STEPS = ["2 + 3 = 5", "So {{ x }} is $5$.", "It is \\boxed{5}."]


def test_the_prompt_shows_problem_and_steps_as_they_are_and_asks_for_a_box() -> None:
    prompt = judge_prompt("What is <b> & {{ y }}?", STEPS)
    assert "[Problem]\n\nWhat is <b> & {{ y }}?\n\n[Solution]\n\n<paragraph_0>\n2 + 3 = 5\n</paragraph_0>\n\n" in prompt
    assert "<paragraph_1>\nSo {{ x }} is $5$.\n</paragraph_1>\n\n<paragraph_2>\n" in prompt
    assert prompt.count("</paragraph_") == 3
    assert prompt.endswith("or with \\boxed{-1} if no paragraph is in error.")


def test_a_solution_without_steps_is_no_question() -> None:
    with pytest.raises(InputError, match="at least one step"):
        judge_prompt("p", [])


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("\\boxed{2}", 2),
        ("First \\boxed{1}, no, wait: $\\boxed{0}$.", 0),
        ("\\boxed{-1}", -1),
        ("\\boxed{\u22121}", -1),
        ("\\boxed{ 1 }", 1),
        ("\\boxed{\\text{2}}", 2),
        ("\\boxed{paragraph_2}", 2),
        ("\\boxed{$1$}", 1),
        ("ANSWER: \\boxed{1", 1),
        ("\\boxed{3}", None),
        ("\\boxed{-2}", None),
        ("\\boxed{1.5}", None),
        ("\\boxed{none}", None),
        ("\\boxed{1}, so x is \\boxed{\\frac{1}{2}}", None),
        ("\\boxed{}", None),
        ("\\boxed{99999999999999999999999}", None),
        ("paragraph 2", None),
        ("", None),
    ],
)
def test_the_last_box_counts_if_it_holds_a_step_or_minus_one(text: str, index: int | None) -> None:
    assert parse_index(text, 3) == index


def test_paragraphs_may_be_counted_from_one() -> None:
    assert [parse_index(f"\\boxed{{{n}}}", 3, first=1) for n in (-1, 0, 1, 3, 4)] == [-1, None, 0, 2, None]


@given(st.integers(1, 30), st.integers(-1, 40), st.integers(0, 1), st.text(max_size=30))
def test_what_is_read_is_a_step_or_minus_one(steps: int, index: int, first: int, before: str) -> None:
    written = -1 if index == -1 else index + first
    found = parse_index(f"{before} \\boxed{{{written}}}", steps, first=first)
    assert found == (index if index < steps else None)


votes = st.lists(st.none() | st.integers(-1, 3), max_size=8)


@given(votes, st.randoms(use_true_random=False))
def test_the_majority_has_more_votes_than_any_other_and_order_does_not_matter(cast: list[int | None], rng: Any) -> None:
    found = majority(cast)
    counts = {vote: cast.count(vote) for vote in cast if vote is not None}
    leaders = [vote for vote, count in counts.items() if count == max(counts.values())]
    assert found.index == (leaders[0] if len(leaders) == 1 else None)
    assert found.tied == (len(leaders) > 1)
    assert (found.votes, found.unparsable) == (len(cast), cast.count(None))
    rng.shuffle(cast)
    assert majority(cast) == found


def completion(text: str, rating: int | None) -> dict[str, Any]:
    return {"text": text, "rating": rating, "flagged": None}


def step(*completions: dict[str, Any], chosen: int | None = 0, human: Any = None) -> dict[str, Any]:
    return {"completions": list(completions), "chosen_completion": chosen, "human_completion": human}


def record(*steps: dict[str, Any], finish: str = "solution") -> dict[str, Any]:
    question = {"problem": "What is 2 + 3?", "ground_truth_answer": "5"}
    return {"question": question, "label": {"steps": list(steps), "finish_reason": finish}}


RIGHT, USELESS, WRONG = completion("2 + 3 = 5", 1), completion("I think.", 0), completion("2 + 3 = 6", -1)


@pytest.mark.parametrize(
    ("made", "steps", "label"),
    [
        (record(step(RIGHT), step(USELESS)), ("2 + 3 = 5", "I think."), -1),
        (record(step(USELESS), step(WRONG, RIGHT, chosen=None), finish="found_error"), ("I think.", "2 + 3 = 6"), 1),
        (record(step(WRONG, RIGHT, chosen=1)), ("2 + 3 = 5",), -1),
        (record(step(WRONG, chosen=None, human="Five."), step(RIGHT)), ("Five.", "2 + 3 = 5"), -1),
        (record(step(WRONG, chosen=None, human={"text": "Five."}), step(RIGHT)), ("Five.", "2 + 3 = 5"), -1),
        (record(step(RIGHT), finish="give_up"), ("2 + 3 = 5",), None),
        (record(step(completion("?", None)), step(WRONG)), ("?", "2 + 3 = 6"), None),
    ],
)
def test_a_record_of_prm800k_is_the_solution_that_people_followed(
    made: dict[str, Any], steps: tuple[str, ...], label: int | None
) -> None:
    solution = solution_from_prm800k(made)
    assert (solution.problem, solution.steps, solution.label, solution.answer) == ("What is 2 + 3?", steps, label, "5")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, "field 'question': must be an object"),
        ({"question": {"problem": "p"}, "label": {"steps": []}}, "at least one step"),
        ({"question": {"problem": " "}, "label": {"steps": [step(RIGHT)]}}, "field 'question.problem'"),
        (record(step(RIGHT, chosen=3)), "is 3, which is none of the step's completions"),
        (record(step(chosen=None)), "is None, which is none"),
        (record(step(completion("a", 7))), "is 7; it must be 1, 0, -1 or null"),
        (record(step(completion("", 1))), "must be a text that is not empty"),
        (record({"completions": "a"}), "which is none of the step's completions"),
    ],
)
def test_a_record_that_cannot_be_is_refused_by_field(made: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        solution_from_prm800k(made)


def test_annotations_of_all_kinds_stand_in_one_file(tmp_path: Path) -> None:
    prm800k = record(step(RIGHT), step(WRONG, chosen=None), finish="found_error")
    lines = [{"id": "a", "label": 2}, {"id": "b", "ratings": [1, 0, -1, 1]}, {"id": "c", "ratings": [1, None]}, prm800k]
    write_lines(tmp_path / "human.jsonl", lines)
    found = read_annotations(tmp_path / "human.jsonl")
    solution = solution_from_prm800k(prm800k)
    assert found == {"a": 2, "b": 2, "c": None, solution.id: 1}
    labelled = [with_label(Solution("p", ("s",), id=name), found).label for name in ("a", "c", "unknown")]
    assert labelled == [2, None, None]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"label": 1}, "line 1, field 'id': is missing"),
        ({"id": "a"}, "line 1: needs 'label'"),
        ({"id": "a", "label": True}, "needs 'label'"),
        ({"id": "a", "label": -2}, "needs 'label'"),
        ({"id": "a", "ratings": [True]}, "needs 'label'"),
        ({"id": "a", "ratings": [2]}, "needs 'label'"),
    ],
)
def test_an_annotation_that_says_nothing_is_refused(line: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "human.jsonl", [line])
    with pytest.raises(RecordError, match=message):
        read_annotations(tmp_path / "human.jsonl")


@given(st.lists(st.sampled_from([1, 0, -1, None]), max_size=8))
def test_ratings_of_one_and_zero_are_positive(ratings: list[int | None]) -> None:
    found = first_error_of_ratings(ratings)
    before = ratings if found in (None, -1) else ratings[:found]
    assert -1 not in before or None in before[: before.index(-1)]
    assert (found is None) == (None in ratings and (-1 not in ratings or ratings.index(None) < ratings.index(-1)))


def test_every_problem_of_real_data_can_be_put_to_a_judge() -> None:
    lines = shared_data("prmbench/counterfactual.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        row = json.loads(line)
        prompt = judge_prompt(row["problem"], row["steps"])
        assert all(f"<paragraph_{n}>\n{text}\n</paragraph_{n}>\n" in prompt for n, text in enumerate(row["steps"]))
