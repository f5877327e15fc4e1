"""The owner's end of one supervisor process: starts it, matches replies to requests, notices when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

from genprm.errors import SandboxUnavailable
from genprm.execution import wire

START_WAIT_S = 120.0
STOP_WAIT_S = 15.0


class SupervisorLost(Exception):
    """The supervisor died with requests open. Internal: callers of a sandbox see ``SandboxUnavailable``."""


class SupervisorClient:
    """A running supervisor. All methods belong to the event loop that started it."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._log = log
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self.preloaded: tuple[str, ...] = ()
        """What the template imported before any session."""

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> SupervisorClient:
        """Start a supervisor and wait until it can fork sessions. Raises ``SandboxUnavailable`` with its last words."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=log, env=dict(env), cwd="/", start_new_session=True
            )
        except OSError as error:
            log.close()
            raise SandboxUnavailable(f"the sandbox cannot be started: {command[0]}: {error.strerror}") from error
        client = cls(process, log)
        try:
            await client._shake_hands()
        except BaseException:
            await client.aclose(wait_s=0.0)
            raise
        return client

    async def _shake_hands(self) -> None:
        try:
            async with asyncio.timeout(START_WAIT_S):
                hello = await wire.read(self._stdout)
        except (TimeoutError, wire.BrokenFrame) as error:
            raise SandboxUnavailable(f"the sandbox did not start within {START_WAIT_S:g} s ({error})") from error
        if hello is None or not hello.get("ready"):
            await self._process.wait()
            raise SandboxUnavailable(f"the sandbox's supervisor ended at its start: {self.last_words()}")
        self.preloaded = tuple(hello["preloaded"])
        self._reader = asyncio.create_task(self._read_replies(), name="genprm sandbox replies")

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still answer."""
        return self._reader is not None and not self._reader.done()

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"

    def send(self, op: str, **fields: Any) -> asyncio.Future[dict[str, Any]]:
        """Send a request; the future of its reply fails with ``SupervisorLost`` if the supervisor dies first."""
        if not self.alive:
            raise SupervisorLost("the sandbox's supervisor is not running")
        number = next(self._numbers)
        frame = wire.encode({"id": number, "op": op, **fields})
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        reply.add_done_callback(lambda _: self._waiting.pop(number, None))
        self._stdin.write(frame)
        return reply

    async def _read_replies(self) -> None:
        reason = "the sandbox's supervisor died"
        try:
            while (frame := await wire.read(self._stdout)) is not None:
                reply = self._waiting.get(frame["id"])
                if reply is not None and not reply.done():
                    reply.set_result(frame)
        except wire.BrokenFrame as error:
            reason = f"the sandbox's supervisor sent nonsense: {error}"
            self.kill()
        finally:
            for reply in list(self._waiting.values()):
                if not reply.done():
                    reply.set_exception(SupervisorLost(reason))
                    reply.exception()  # nobody may be waiting any more; that is no error

    def kill(self) -> None:
        """Kill it at once. Open requests fail."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def aclose(self, *, wait_s: float = STOP_WAIT_S) -> None:
        """Close its stdin, on which it kills all sessions and ends; kill it if it takes longer than ``wait_s``."""
        self._stdin.close()
        try:
            async with asyncio.timeout(wait_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader
        with contextlib.suppress(ConnectionError):
            await self._stdin.wait_closed()
        self._log.close()
