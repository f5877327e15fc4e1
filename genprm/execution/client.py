"""The owner's end of one supervisor: shakes hands, matches replies to requests, notices when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

from genprm.errors import SandboxUnavailable
from genprm.execution import wire
from genprm.execution.transport import Transport

START_WAIT_S = 120.0
STOP_WAIT_S = 15.0
LAST_WORDS_S = 1.0


class SupervisorLost(Exception):
    """The supervisor died with requests open. Internal: callers of a sandbox see ``SandboxUnavailable``."""


class SupervisorClient:
    """A running supervisor. All methods belong to the event loop that started it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._reason = ""
        self.preloaded: tuple[str, ...] = ()
        """What the template imported before any session."""

    @classmethod
    async def start(cls, transport: Transport) -> SupervisorClient:
        """Wait until it can fork sessions; else end it and raise ``SandboxUnavailable`` with its last words."""
        client = cls(transport)
        try:
            await client._shake_hands()
        except BaseException:
            await client.aclose(wait_s=0.0)
            raise
        return client

    async def _shake_hands(self) -> None:
        try:
            async with asyncio.timeout(START_WAIT_S):
                hello = await wire.read(self.transport.output)
        except (TimeoutError, wire.BrokenFrame) as error:
            raise SandboxUnavailable(f"the sandbox did not start within {START_WAIT_S:g} s ({error})") from error
        if hello is None or not hello.get("ready"):
            await self.transport.ended()
            raise SandboxUnavailable(f"the sandbox's supervisor ended at its start: {self.transport.last_words()}")
        self.preloaded = tuple(hello["preloaded"])
        self._reader = asyncio.create_task(self._read_replies(), name="genprm sandbox replies")

    @property
    def alive(self) -> bool:
        """Whether it can still answer."""
        return self._reader is not None and not self._reader.done()

    def send(self, op: str, **fields: Any) -> asyncio.Future[dict[str, Any]]:
        """Send a request; the future of its reply fails with ``SupervisorLost`` if the supervisor dies first."""
        if not self.alive:
            raise SupervisorLost("the sandbox's supervisor is not running")
        number = next(self._numbers)
        frame = wire.encode({"id": number, "op": op, **fields})
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        reply.add_done_callback(lambda _: self._waiting.pop(number, None))
        self.transport.write(frame)
        return reply

    async def _read_replies(self) -> None:
        try:
            while (frame := await wire.read(self.transport.output)) is not None:
                reply = self._waiting.get(frame["id"])
                if reply is not None and not reply.done():
                    reply.set_result(frame)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):  # then it is known how it ended
                    await self.transport.ended()
        except wire.BrokenFrame as error:
            self.kill(f"the sandbox's supervisor sent nonsense: {error}")
        finally:
            reason = self._reason or f"the sandbox's supervisor died ({self.transport.last_words()})"
            for reply in list(self._waiting.values()):
                if not reply.done():
                    reply.set_exception(SupervisorLost(reason))
                    reply.exception()  # nobody may be waiting any more; that is no error

    def kill(self, reason: str) -> None:
        """Kill it at once. Open requests fail with the reason."""
        self._reason = reason
        self.transport.kill()

    async def aclose(self, *, wait_s: float = STOP_WAIT_S) -> None:
        """Have it kill all its sessions and end; kill it if it takes longer than ``wait_s``."""
        await self.transport.aclose(wait_s)
        if self._reader is not None:
            await self._reader
