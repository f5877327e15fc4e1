"""Rollouts and labels as records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genprm.errors import RecordError
from genprm.records import (
    labels_from_dict,
    labels_to_dict,
    read_rollouts,
    rollout_from_dict,
    rollout_to_dict,
    write_lines,
)
from genprm.types import Labels, Rollout

ROLLOUT = Rollout("k", "s1", "p1", 2, "policy", 16, 3, 16, 1, 7, None, 900)


def test_records_come_back_as_they_were() -> None:
    labels = Labels("s1", "rpe", {"threshold": 0.8}, (1.0, None, 0.0), ((3, 4), (2, 4), (0, 4)))
    assert rollout_from_dict(rollout_to_dict(ROLLOUT)) == ROLLOUT
    assert labels_from_dict(labels_to_dict(labels)) == labels


def test_a_rollout_of_another_program_needs_only_what_counts(tmp_path: Path) -> None:
    record = {"id": "s1", "problem_id": "p1", "step": 0, "policy": "x", "k": 4, "correct": 1, "total": 4}
    write_lines(tmp_path / "r.jsonl", [record])
    (rollout,) = read_rollouts(tmp_path / "r.jsonl")
    assert (rollout.correct, rollout.total, rollout.invalid, rollout.rule) == (1, 4, 0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": None}, "line 1, field 'correct': is a null; it must be int"),
        ({"correct": True}, "field 'correct': is a boolean"),
        ({"step": -2}, "field 'step': is -2; it must be at least -1"),
        ({"correct": 16}, "field 'total': is 16, but 16 are correct and 1 invalid"),
    ],
)
def test_a_rollout_that_cannot_be_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [rollout_to_dict(ROLLOUT) | change])
    with pytest.raises(RecordError, match=message):
        list(read_rollouts(tmp_path / "r.jsonl"))
