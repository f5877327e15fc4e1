from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.errors import InputError, RecordError
from genprm.records import (
    answers_agree,
    content_id,
    dump_line,
    final_answer_correct,
    item_to_dict,
    predicted_answer,
    read_lines,
    read_solutions,
    solution_from_dict,
    solution_to_dict,
    vote_from_dict,
    vote_to_dict,
)
from genprm.records.hub import gsm8k_record, read_hub
from genprm.types import CodeRun, Scores, Solution, StepVerdict, Verification, Vote
from tests.conftest import shared_data

GOOD = {"id": "a", "problem": "1 + 1?", "steps": ["1 + 1 = 2"]}


def write(folder: Path, *records: Mapping[str, Any] | str | bytes) -> str:
    path = folder / "in.jsonl"
    lines = (r if isinstance(r, bytes) else (r if isinstance(r, str) else json.dumps(r)).encode() for r in records)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def test_fields_are_read_and_unknown_ones_carried_through(tmp_path: Path) -> None:
    record = GOOD | {"answer": "2", "label": -1, "final_answer_correct": True, "error_steps": [1], "note": None}
    loaded = read_solutions(write(tmp_path, record))
    assert loaded.solutions[0].extra == {"error_steps": [1], "note": None}
    assert loaded.lines == {"a": 1}
    assert loaded.notes == ()
    assert solution_to_dict(loaded.solutions[0]) == record


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({"steps": []}, "steps", "at least one step"),
        ({"steps": ["ok", 3]}, "steps", "step 1 is a number"),
        ({"steps": "text"}, "steps", "must be a list"),
        ({"steps": None}, "steps", "is missing"),
        ({"steps": None, "solution": " "}, "solution", "is empty"),
        ({"steps": None, "solution": 3}, "solution", "must be a string"),
        ({"problem": "  "}, "problem", "is empty"),
        ({"problem": None}, "problem", "is missing"),
        ({"problem": 3}, "problem", "must be a string"),
        ({"problem": "\ud800"}, "problem", "half a character"),
        ({"id": "\ud800"}, "id", "half a character"),
        ({"answer": "\ud800"}, "answer", "half a character"),
        ({"id": ["a"]}, "id", "must be a string"),
        ({"label": 1}, "label", "use 0 to 0"),
        ({"label": True}, "label", "is a boolean"),
        ({"final_answer_correct": "yes"}, "final_answer_correct", "true or false"),
        ({"reward": [1, 0]}, "reward", "one per step"),
        ({"reward": "high"}, "reward", "must be a number"),
        ({"reward": 10**400}, "reward", "must be a number"),
    ],
)
def test_a_bad_field_is_named_with_file_line_and_remedy(
    tmp_path: Path, record: dict[str, Any], field: str, words: str
) -> None:
    spec = write(tmp_path, GOOD, "", GOOD | {"id": "b"} | record)
    with pytest.raises(RecordError, match=words) as caught:
        read_solutions(spec)
    assert (caught.value.source, caught.value.line, caught.value.field) == (spec, 3, field)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "is a JSON list"),
        ('{"problem": NaN}', "NaN is not a JSON value"),
        ("[" * 100_000, "is not JSON"),
        (b'{"id": "\xff"}', "is not UTF-8 .byte 0xff"),
    ],
)
def test_a_line_that_is_not_an_object_is_named(tmp_path: Path, line: str | bytes, words: str) -> None:
    with pytest.raises(RecordError, match=words) as caught:
        read_solutions(write(tmp_path, GOOD, line))
    assert caught.value.line == 2


def test_files_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such file"):
        read_solutions(str(tmp_path / "none.jsonl"))
    with pytest.raises(RecordError, match="is a folder"):
        read_solutions(str(tmp_path))
    with pytest.raises(RecordError, match="is empty"):
        read_solutions(write(tmp_path, " "))


def test_duplicate_ids_are_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"line 2, field 'id'.*already used in line 1"):
        read_solutions(write(tmp_path, GOOD, GOOD))


def test_missing_ids_come_from_the_content_and_are_said(tmp_path: Path) -> None:
    plain = {"problem": "1 + 1?", "steps": ["1 + 1 = 2"]}
    loaded = read_solutions(write(tmp_path, plain, plain))
    base = content_id("1 + 1?", ["1 + 1 = 2"])
    assert [solution.id for solution in loaded.solutions] == [base, f"{base}-2"]
    assert loaded.notes == (f"2 records had no id: made from the content (the first is {base})",)


@pytest.mark.parametrize(
    ("text", "steps", "how"),
    [
        ("Well.\nStep 1: a\nb\n\nStep 2: c", ("Well.\nStep 1: a\nb", "Step 2: c"), "'Step k:' marks"),
        ("**Step 1:** a\n**Step 2**: b", ("**Step 1:** a", "**Step 2**: b"), "'Step k:' marks"),
        ("a\nb\n \n\nc", ("a\nb", "c"), "blank lines"),
        ("all in one", ("all in one",), "one step"),
    ],
)
def test_a_solution_text_is_split_and_says_how(tmp_path: Path, text: str, steps: tuple[str, ...], how: str) -> None:
    loaded = read_solutions(write(tmp_path, {"id": "a", "problem": "p", "solution": text}))
    assert loaded.solutions[0].steps == steps
    assert how in loaded.notes[0]


def test_numbers_serve_as_ids_and_answers(tmp_path: Path) -> None:
    solution = read_solutions(write(tmp_path, GOOD | {"id": 7, "answer": 2})).solutions[0]
    assert (solution.id, solution.answer) == ("7", "2")


def test_what_could_not_be_written_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"in\.jsonl, line 1: is not JSON \(1e999 is too large a number\)"):
        read_solutions(write(tmp_path, '{"id": "a", "problem": "p", "steps": ["s"], "more": 1e999}'))
    for value in (float("nan"), b"image", {1, 2}):
        with pytest.raises(RecordError, match=r"hub, field 'more': cannot be written as JSON .* drop or convert"):
            solution_from_dict(GOOD | {"more": value}, source="hub")


def test_the_limit_reads_no_further(tmp_path: Path) -> None:
    spec = write(tmp_path, GOOD, "broken")
    assert len(read_solutions(spec, limit=1).solutions) == 1
    with pytest.raises(InputError, match="limit is 0"):
        read_solutions(spec, limit=0)


def test_standard_input_is_read_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())))
    assert read_solutions("-").solutions[0].id == "a"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{")))
    with pytest.raises(RecordError, match="<stdin>, line 1"):
        read_solutions("-")


@given(st.text(), st.lists(st.text(), min_size=1), st.dictionaries(st.text(), st.text()))
def test_records_come_back_as_they_were_written(problem: str, steps: list[str], extra: dict[str, str]) -> None:
    record = extra | {"id": "a", "problem": "p" + problem, "steps": steps}
    try:
        solution = solution_from_dict(record)
    except RecordError:
        return
    line = dump_line(solution_to_dict(solution))
    assert "\n" not in line
    assert solution_from_dict(json.loads(line)) == solution


def test_a_line_survives_half_characters(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(dump_line({"output": "\ud800\u2028é"}) + "\n", encoding="utf-8")
    assert list(read_lines(path)) == [(1, {"output": "\ud800\u2028é"})]


def test_hub_names_that_cannot_be_loaded_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="hub:name:split"):
        read_solutions("hub:openai/gsm8k")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be loaded.*or give a JSONL file") as caught:
        read_solutions("hub:genprm/no-such-data-set:test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "id"),
    [
        ({"question": ["1 + 1?"], "answer": ["1+1 = <<1+1=2>>2\n\nSo 2.\n#### 1,002"]}, "gsm8k-test-0"),
        ({"id": ["gsm8k-0"], "problem": ["p"], "steps": [["a", "b"]], "label": [-1], "generator": ["q"]}, "gsm8k-0"),
    ],
)
def test_hub_columns_become_records(monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any], id: str) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(columns)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, split: table)
    loaded = read_solutions("hub:openai/gsm8k:main:test", limit=5)
    assert loaded.solutions[0].id == id
    assert len(loaded.solutions[0].steps) == 2


def test_hub_columns_that_are_not_solutions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_dict({"text": ["a"]}))
    with pytest.raises(InputError, match="columns text"):
        read_hub("some/set:train", None)


def test_calculator_annotations_are_taken_out_of_gsm8k_only() -> None:
    record = gsm8k_record({"question": "q", "answer": "48/2 = <<48/2=24>>24 clips\n#### 24"}, "x")
    assert (record["steps"], record["answer"]) == (["48/2 = 24 clips"], "24")
    kept = solution_from_dict(GOOD | {"steps": ["48/2 = <<48/2=24>>24"]})
    assert kept.steps == ("48/2 = <<48/2=24>>24",)


def test_the_predicted_answer_is_extracted_where_the_record_has_none() -> None:
    solution = Solution("p", ("first", "So it is $\\frac{1}{2}$."), answer="0.5")
    assert final_answer_correct(solution) is True
    assert predicted_answer(Solution("p", ("no result",))) == ""
    assert predicted_answer(Solution("p", ("A: 26",), predicted_answer="")) == ""
    assert final_answer_correct(Solution("p", ("A: 26",), answer="26")) is True
    assert final_answer_correct(Solution("p", ("none",), answer="26")) is False
    assert final_answer_correct(Solution("p", ("A: 1",))) is None
    assert final_answer_correct(Solution("p", ("A: 1",), answer="2", final_answer_correct=True)) is True


VOTE = Vote(
    "k",
    "a",
    1,
    2,
    (
        StepVerdict("judged", "code", 0.75, 0.3, 0.1, "Yes", "text", (CodeRun("x", "ok", "1\n"),), 9),
        StepVerdict("failed", "code", failure="budget"),
    ),
)


def test_votes_come_back_and_the_key_is_first() -> None:
    record = vote_to_dict(VOTE)
    assert next(iter(record)) == "key"
    assert set(record["steps"][0]) == {
        *("status", "mode", "reward", "p_yes", "p_no", "judgement", "rationale", "code", "tokens", "failure")
    }
    assert vote_from_dict(json.loads(dump_line(record))) == VOTE


@pytest.mark.parametrize("change", [{"steps": [3]}, {"key": 3}, {"steps": [{"code": [], "status": "done"}]}])
def test_a_broken_vote_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="written by another version or edited"):
        vote_from_dict(vote_to_dict(VOTE) | change)


def test_items_have_the_fields_of_the_design() -> None:
    item = Verification("a", (None,), ("failed",), None, Scores(None, None, None, None), "all", (VOTE,), {"budget": 1})
    assert item_to_dict(item) == {
        "id": "a",
        "rewards": [None],
        "status": ["failed"],
        "predicted_label": None,
        "score": {"min": None, "mean": None, "product": None, "last": None},
        "settled": "all",
        "votes": 1,
        "failures": {"budget": 1},
    }


def test_real_solutions_are_read_untouched() -> None:
    path = shared_data("prmbench/counterfactual.jsonl")
    loaded = read_solutions(str(path), limit=50)
    assert [solution_to_dict(s) for s in loaded.solutions] == [record for _, record in read_lines(path)][:50]


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        ("2x + 2", "2x + 5", False),
        ("2x + 2", "2(x + 1)", True),
        ("3x", "3", False),
        ("\\$32,\\!348", "32348", True),
        ("4.5e33", "4.5\\times 10^{33}", True),
        ("1e33", "1e-33", False),
        ("12 km", "12", True),
        ("1/2", "", False),
    ],
)
def test_answers_are_compared_whole_not_by_their_first_number(reference: str, answer: str, same: bool) -> None:
    assert answers_agree(reference, answer) == same
