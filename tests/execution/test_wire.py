"""Frames survive the wire, and nothing that is no frame is taken for one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm.execution import wire

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


def read_all(data: bytes) -> list[dict[str, object]]:
    async def read() -> list[dict[str, object]]:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        found = []
        while (frame := await wire.read(stream)) is not None:
            found.append(frame)
        return found

    return asyncio.run(read())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.dictionaries(st.text(), VALUES), max_size=3))
def test_frames_come_back(frames: list[dict[str, object]]) -> None:
    assert read_all(b"".join(map(wire.encode, frames))) == frames


@settings(deadline=None, max_examples=40)
@given(st.integers(min_value=0, max_value=30))
def test_a_cut_stream_is_an_end(length: int) -> None:
    data = wire.encode({"id": 1, "text": "lone \ud800 surrogate"})
    assert read_all(data[:length]) == []


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2{]", b"\0\0\0\2[]", b"\0\0\0\1\xff"])
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(wire.BrokenFrame):
        read_all(data)
