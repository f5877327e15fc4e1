"""Problems of every schema, by name and from files; what cannot be used is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genprm.errors import InputError, RecordError
from genprm.rollout import DATA_SETS, Given, read_given
from genprm.rollout.problems import boxed, problem_from_dict, problem_to_dict
from genprm.types import Problem
from tests.conftest import shared_data

ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "gsm8k": ({"question": "How many?", "answer": "6 * 200 = <<6*200=1200>>1200\n#### 1,200"}, "1200"),
    "math": (
        {"problem": "P?", "level": "Level 1", "type": "Algebra", "solution": "so $x=\\boxed{\\frac{1}{4}}$."},
        "\\frac{1}{4}",
    ),
    "math500": ({"problem": "P?", "solution": "\\boxed{3}", "answer": "3", "unique_id": "test/algebra/1.json"}, "3"),
    "amc23": ({"id": 0, "question": "P?", "answer": "27.0", "url": "u"}, "27.0"),
    "aime24": ({"id": 60, "problem": "P?", "solution": "s", "answer": "204", "year": "2024"}, "204"),
    "minerva": ({"question": "P?", "answer": "4.5e33"}, "4.5e33"),
}


def write(path: Path, *records: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_named_data_set_is_loaded_with_its_reference_answers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` finds the same names in the working directory, so its own code loads local copies of the schemas."""
    place, (row, answer) = DATA_SETS[name], ROWS[name]
    folder = tmp_path / place.name
    config = place.config or "default"
    write(folder / config / f"{place.split}.jsonl", row, row | {"answer": "#### 7"} if name == "gsm8k" else row)
    card = f"configs:\n- config_name: {config}\n  data_files:\n  - split: {place.split}\n    path: {config}/*.jsonl\n"
    (folder / "README.md").write_text(f"---\n{card}---\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    given = read_given(name)
    assert [problem.id for problem in given.problems] == [f"{name}-{place.split}-{index}" for index in range(2)]
    assert given.problems[0].answer == answer and given.solutions is None
    assert given.problems == read_given(f"{name}:{place.split}").problems
    assert len(read_given(name, limit=1).problems) == 1


def test_a_file_of_problems_keeps_its_unknown_fields_and_gets_ids_from_the_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.jsonl",
        {"id": "a", "problem": "1 + 1?", "answer": 2, "level": 3},
        {"problem": "2 + 2?", "answer": 4.0},
        ROWS["math"][0],
    )
    given = read_given(path)
    assert [problem.answer for problem in given.problems] == ["2", "4", "\\frac{1}{4}"]
    assert given.problems[0].extra == {"level": 3} and given.problems[1].id.startswith("auto-")
    assert given.notes == ("2 of 3 problems had no id: made from the text",)
    assert all(problem_from_dict(problem_to_dict(problem)) == problem for problem in given.problems)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"answer": "1"}, "line 2, field 'problem': is missing; a problem needs it as a string"),
        ({"problem": " ", "answer": "1"}, "field 'problem': is empty; fill it in or drop the record"),
        ({"problem": "p"}, "field 'answer': is missing"),
        ({"problem": "p", "answer": True}, "field 'answer': is a boolean"),
        ({"problem": "p", "solution": "so 3"}, r"field 'solution': has no \\boxed\{...\}; give the reference answer"),
        ({"question": "p", "answer": "so\n####"}, "field 'answer': has nothing behind its '####'"),
        ({"id": "a", "problem": "p", "answer": "1"}, "field 'id': 'a' is already used in line 1; ids must be unique"),
    ],
)
def test_a_record_without_problem_or_answer_names_file_line_and_field(
    record: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "in.jsonl", {"id": "a", "problem": "p", "answer": "1"}, record)
    with pytest.raises(RecordError, match=f"in.jsonl.*{message}"):
        read_given(path)


def test_records_with_steps_are_solutions_that_are_there(tmp_path: Path) -> None:
    one = {"id": "s1", "problem_id": "p", "problem": "1 + 1?", "steps": ["1 + 1 = 2", "2"], "answer": "2"}
    given = read_given(write(tmp_path / "in.jsonl", one, one | {"id": "s2", "steps": ["3"]}))
    assert given.problems == (Problem("p", "1 + 1?", "2"),)
    assert given.solutions is not None and [solution.id for solution in given.solutions] == ["s1", "s2"]
    with pytest.raises(RecordError, match="line 2, field 'answer': of 's2' is missing; completions are compared"):
        read_given(write(tmp_path / "bad.jsonl", one, {"id": "s2", "problem": "q", "steps": ["3"]}))
    with pytest.raises(RecordError, match="line 2, field 'problem_id': 'p' of 's2' is another problem or answer"):
        read_given(write(tmp_path / "bad.jsonl", one, one | {"id": "s2", "answer": "3"}))
    with pytest.raises(RecordError, match="line 2, field 'steps': is missing"):
        read_given(write(tmp_path / "bad.jsonl", one, {"problem": "q", "answer": "3"}))


def test_a_source_that_is_none_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file or data set 'gsm9k'; give a JSONL file, .* gsm8k, math,"):
        read_given("gsm9k")
    with pytest.raises(InputError, match="limit is 0"):
        read_given("gsm8k", limit=0)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(RecordError, match="is empty"):
        read_given(str(tmp_path / "empty.jsonl"))
    with pytest.raises(InputError, match="the id 'a' is empty or of two problems"):
        Given((Problem("a", "p", "1"), Problem("a", "q", "1")))


def test_the_last_box_with_its_braces_balanced() -> None:
    assert boxed("\\boxed{1} or \\boxed{\\frac{1}{2}}.") == "\\frac{1}{2}"
    assert boxed("\\boxed{ x^{2} }") == "x^{2}"
    assert boxed("\\boxed{\\frac{1}{2}") is None and boxed("none") is None


def test_real_problems_of_a_file() -> None:
    given = read_given(str(shared_data("gsm8k/test.jsonl")), limit=50)
    assert given.solutions is not None and len(given.problems) == 50
    assert all(problem.answer.lstrip("-").replace(".", "").isdigit() for problem in given.problems)
