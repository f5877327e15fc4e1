"""A container with nothing around it: the supervisor spoken to frame by frame, as its docstring says."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from types import TracebackType
from typing import Any

from genprm.execution import containers
from genprm.execution.attached import launch_container
from genprm.execution.image import seccomp
from tests.execution import engine

PATIENCE_S = 120.0
FIRST_UID = 64_100
"""Above what sandboxes take, so that a test beside them counts its own processes only."""
LIMITS = containers.Limits(memory_bytes=1 << 30, cpus=1.0, processes=512)


class Container:
    """One container of this version's image; ended by leaving the context."""

    def __init__(self, limits: containers.Limits = LIMITS, *, filtered: bool = True, **settings: Any) -> None:
        """``filtered``: under our list of system calls. The settings are the supervisor's own."""
        settings = {"scratch": containers.SCRATCH, "first_uid": FIRST_UID, "max_sessions": 8, **settings}
        image = engine.need_image()
        self._api = engine.client()
        arguments = containers.creation(
            self._api, image.reference, [json.dumps(settings)], limits, containers.Owner.me(),
            seccomp=seccomp() if filtered else "unconfined", runtime=None,
        )  # fmt: skip
        self.id, self._socket = launch_container(self._api, arguments, threading.Event())
        self._socket.settimeout(PATIENCE_S)
        self._chunks = self._socket.makefile("rb")
        self._stdout = bytearray()
        self._numbers = itertools.count(1)
        self._replies: dict[int, dict[str, Any]] = {}
        assert self._frame()["ready"]

    def send(self, op: str, **fields: Any) -> int:
        """Send a request; its id."""
        number = next(self._numbers)
        data = json.dumps({"id": number, "op": op, **fields}).encode()
        self._socket.sendall(struct.pack(">I", len(data)) + data)
        return number

    def reply(self, number: int) -> dict[str, Any]:
        while number not in self._replies:
            frame = self._frame()
            self._replies[frame["id"]] = frame
        return self._replies.pop(number)

    def start(self, session: int, source: str, timeout_s: float = 60.0) -> int:
        return self.send("cell", session=session, source=source, timeout_s=timeout_s)

    def run(self, session: int, source: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Run a cell and wait for it."""
        return self.reply(self.start(session, source, timeout_s))

    def prints(self, session: int, source: str) -> str:
        """What a cell prints that must end well."""
        reply = self.run(session, source)
        assert reply.get("status") == "ok", reply
        return str(reply["stdout"])

    def close(self, session: int) -> None:
        self.reply(self.send("close", session=session))

    def _frame(self) -> dict[str, Any]:
        (size,) = struct.unpack(">I", self._bytes(4))
        frame: dict[str, Any] = json.loads(self._bytes(size))
        return frame

    def _bytes(self, count: int) -> bytes:
        while len(self._stdout) < count:
            kind, size = struct.unpack(">BxxxI", self._chunks.read(8))
            chunk = self._chunks.read(size)
            assert kind == 1, f"the supervisor says: {chunk.decode(errors='replace')}"
            self._stdout += chunk
        data = bytes(self._stdout[:count])
        del self._stdout[:count]
        return data

    def __enter__(self) -> Container:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._chunks.close()
        self._socket.close()
        containers.remove(self._api, self.id)
        self._api.close()
