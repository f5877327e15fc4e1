from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from genprm.errors import RecordError
from genprm.runs.units import UnitFile


def test_units_are_read_back_by_key_also_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    written = [{"key": "a", "n": 1}, {"key": "b", "text": 'two\nlines, "quotes" and ž'}, {"key": "c"}]
    with closing(UnitFile(path)) as units:
        for unit in written:
            units.append(unit)
            assert units[str(unit["key"])] == unit
    with closing(UnitFile(path)) as units:
        assert list(units.values()) == written


def test_of_a_key_that_was_written_twice_the_last_line_stands(tmp_path: Path) -> None:
    def is_short(line: bytes) -> bool:
        return b"short" in line

    with closing(UnitFile(tmp_path / "units.jsonl", is_short)) as first:
        for key, size in (("a", "short"), ("b", "short"), ("a", "long")):
            first.append({"key": key, "is": size})
        with closing(UnitFile(first.path, is_short)) as again:
            for found in (first, again):
                assert (found["a"]["is"], found.marked("a"), found.marked("b"), len(found)) == ("long", False, True, 2)


def test_opening_parses_no_line_whose_key_can_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    path.write_text('{"key": "a", this is no JSON}\n{"n": 1, "key": "b"}\n')
    with closing(UnitFile(path)) as units:
        assert list(units) == ["a", "b"]
        assert units["b"] == {"n": 1, "key": "b"}
        with pytest.raises(RecordError, match=r"units\.jsonl, line 1: is not JSON"):
            units["a"]
