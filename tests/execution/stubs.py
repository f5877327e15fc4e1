"""A supervisor in memory: answers frames as a supervisor would, and can be told to be slow, stuck or dead."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from genprm.execution import wire
from genprm.execution.client import SupervisorClient


class StubTransport:
    """Answers each cell with its source and each close with ``closed``, at once unless ``silent``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.output = asyncio.StreamReader()
        self.silent = False
        self.reason: str | None = None
        self.closed = asyncio.Event()
        self.output.feed_data(wire.encode({"ready": True, "preloaded": []}))

    def write(self, data: bytes) -> None:
        while data and not self.closed.is_set():
            (size,) = struct.unpack_from(">I", data)
            frame, data = json.loads(data[4 : 4 + size]), data[4 + size :]
            if not self.silent:
                self.output.feed_data(wire.encode(_answer(frame)))

    def last_words(self) -> str:
        return "a stub"

    async def ended(self) -> None:
        await self.closed.wait()

    async def trouble(self) -> str | None:
        return self.reason

    def kill(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self.output.feed_eof()

    async def aclose(self, wait_s: float) -> None:
        self.kill()


def _answer(frame: dict[str, Any]) -> dict[str, Any]:
    if frame["op"] == "close":
        return {"id": frame["id"], "closed": True}
    return {
        "id": frame["id"], "status": "ok", "stdout": frame["source"], "error": "",
        "duration_s": 0.0, "truncated": False, "session_lost": False,
    }  # fmt: skip


class StubStarter:
    """Starts stubs; counts them; fails while ``failure`` is set; waits while ``gate`` is closed."""

    def __init__(self) -> None:
        self.started: list[StubTransport] = []
        self.asked = 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> SupervisorClient:
        self.asked += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        transport = StubTransport(f"stub {len(self.started)}")
        self.started.append(transport)
        return await SupervisorClient.start(transport)

    @property
    def running(self) -> list[StubTransport]:
        return [one for one in self.started if not one.closed.is_set()]
