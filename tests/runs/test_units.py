from __future__ import annotations

from pathlib import Path

import pytest

from genprm.errors import RecordError
from genprm.runs.units import UnitFile


def test_units_are_read_back_by_key_also_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    with_text = {"key": "b", "text": 'two\nlines, "quotes" and ž'}
    units = UnitFile(path)
    for unit in ({"key": "a", "n": 1}, with_text, {"key": "c"}):
        units.append(unit)
        assert units[unit["key"]] == unit
    units.close()
    assert dict(UnitFile(path)) == {"a": {"key": "a", "n": 1}, "b": with_text, "c": {"key": "c"}}


def test_of_a_key_that_was_written_twice_the_last_line_stands(tmp_path: Path) -> None:
    units = UnitFile(tmp_path / "units.jsonl", mark=lambda line: b"short" in line)
    units.append({"key": "a", "is": "short"})
    units.append({"key": "b", "is": "short"})
    assert units.marked("a")
    units.append({"key": "a", "is": "long"})
    for found in (units, UnitFile(units.path, mark=lambda line: b"short" in line)):
        assert (found["a"]["is"], found.marked("a"), found.marked("b"), len(found)) == ("long", False, True, 2)


def test_opening_parses_no_line_whose_key_can_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    path.write_text('{"key": "a", this is no JSON}\n{"n": 1, "key": "b"}\n')
    units = UnitFile(path)
    assert list(units) == ["a", "b"]
    assert units["b"] == {"n": 1, "key": "b"}
    with pytest.raises(RecordError, match=r"units\.jsonl: is not JSON"):
        units["a"]
