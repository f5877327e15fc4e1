"""Solutions that a policy wrote as training rows: the prompt it was asked with, the loss on its own tokens."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from genprm import resources
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import RecordError
from genprm.prompts import IGNORED, encode, render_policy
from genprm.rollout import styles
from genprm.train.options.rows import SolutionData
from genprm.train.rows import Batches, DialogueRows
from genprm.train.solutions import SolutionSet, Written, read

TEXT = "Step 1: Tom has 3 apples.\n\nStep 2: He eats one, so 2 are left. The answer is \\boxed{2}."


@pytest.fixture(scope="module")
def tokenizer() -> HFTokenizer:
    return HFTokenizer.from_folder(resources.model("policy-tiny"))


def test_only_what_the_policy_wrote_and_its_end_are_trained_on(tokenizer: HFTokenizer) -> None:
    row = Written("Tom has apples.", TEXT, "step-forced").row(tokenizer)
    trained = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(trained[:-1]) == TEXT.removeprefix("Step 1: ")
    assert trained[-1] == tokenizer.hf.eos_token_id
    assert all(label in (IGNORED, token) for token, label in zip(row.input_ids, row.labels, strict=True))


def test_what_is_trained_on_follows_the_ids_that_sampling_begins_with(tokenizer: HFTokenizer) -> None:
    row = Written("Tom has apples.", TEXT, "step-forced").row(tokenizer)
    prompt = encode(render_policy("Tom has apples.", styles.opening("step-forced"), tokenizer), tokenizer).ids
    assert row.input_ids[: len(prompt)] == prompt
    assert all(label == IGNORED for label in row.labels[: len(prompt)]) and row.labels[len(prompt)] != IGNORED


def test_a_record_without_its_text_is_its_steps_joined(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    steps = ["Step 1: a", "Step 2: b"]
    lines = [{"problem": "p", "steps": steps, "separator": "\n"}, {"problem": "p", "steps": steps, "text": TEXT}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    made = read(SolutionData(source="solutions", path=str(path)))
    assert [one.text for one in made.examples] == ["Step 1: a\nStep 2: b", TEXT]
    path.write_text(json.dumps({"problem": "p", "steps": ["a"], "text": 3}) + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"kept\.jsonl, line 1, field 'text': is no text; give what the policy wrote"):
        read(SolutionData(source="solutions", path=str(path)))


def test_every_solution_of_a_small_set_is_seen_once_in_each_epoch(tokenizer: HFTokenizer) -> None:
    examples = tuple(Written(f"p{number}", TEXT + "x" * number, "step-forced") for number in range(10))
    rows = DialogueRows(SolutionSet(examples), tokenizer)
    batches = Batches.sized(rows, 4, 1024, seed=0, size=10)
    epochs = list(islice(batches.iterate(), 4))
    assert len(epochs[0]) + len(epochs[1]) == 10 and batches.steps(1, 1) == 2
    whole = sorted(row.input_ids for row in map(rows.row, range(10)))
    assert sorted(row.input_ids for batch in epochs[:2] for row in batch) == whole
    assert sorted(row.input_ids for batch in epochs[2:] for row in batch) == whole
