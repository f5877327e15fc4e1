"""GSM8K rows are read from a local copy in either form; what is not GSM8K is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm.errors import InputError, RecordError
from genprm.train.data import read_gsm8k

STEPS = ["48/2 = <<48/2=24>>24 clips.", "48+24 = <<48+24=72>>72 clips."]


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_published_rows_and_split_rows_are_the_same(tmp_path: Path) -> None:
    split = write(tmp_path / "a.jsonl", {"id": "x", "problem": "How many?", "answer": "72", "steps": STEPS})
    published = write(tmp_path / "b.jsonl", {"question": "How many?", "answer": "\n".join(STEPS) + "\n#### 72"})
    for place in (split, published):
        (row,) = read_gsm8k(place)
        assert (row["problem"], row["steps"], row["answer"]) == ("How many?", STEPS, "72")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GSM8K row"):
        read_gsm8k(write(tmp_path / "a.jsonl", {"text": "hello"}))
    with pytest.raises(InputError, match="row 1: a GSM8K row needs 'problem'"):
        read_gsm8k(write(tmp_path / "b.jsonl", {"problem": "p", "steps": "one text"}))
    with pytest.raises(InputError, match="holds no rows"):
        read_gsm8k(write(tmp_path / "c.jsonl"))
    with pytest.raises(RecordError, match="no such file"):
        read_gsm8k(str(tmp_path / "d.jsonl"))
