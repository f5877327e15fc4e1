"""Frames between us and a supervisor: length (4 bytes, big endian), then a JSON object of that length.

``sandbox/supervisor.py`` holds the other end and documents the frames. Nothing is ever unpickled.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Any

MAX_FRAME = 64 << 20
"""Bytes; both ends refuse more."""


class BrokenFrame(ValueError):
    """What came is not a frame of this protocol."""


def encode(frame: Mapping[str, Any]) -> bytes:
    """One frame as bytes. Raises ``BrokenFrame`` if it is larger than ``MAX_FRAME``."""
    data = json.dumps(frame).encode("ascii")
    if len(data) > MAX_FRAME:
        raise BrokenFrame(f"a frame of {len(data)} bytes is larger than the {MAX_FRAME} that the protocol allows")
    return struct.pack(">I", len(data)) + data


async def read(stream: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next frame; ``None`` at the end of the stream, also when that cuts a frame short."""
    try:
        (size,) = struct.unpack(">I", await stream.readexactly(4))
        if size > MAX_FRAME:
            raise BrokenFrame(f"a frame claims {size} bytes, more than the {MAX_FRAME} that the protocol allows")
        frame = json.loads(await stream.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except UnicodeDecodeError as error:
        raise BrokenFrame(f"a frame is not text ({error})") from error
    except json.JSONDecodeError as error:
        raise BrokenFrame(f"a frame is not JSON ({error})") from error
    if not isinstance(frame, dict):
        raise BrokenFrame(f"a frame holds a {type(frame).__name__}, not an object")
    return frame
