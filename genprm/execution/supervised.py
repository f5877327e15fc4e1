"""Sessions on top of a supervisor: everything that sandboxes have in common, whatever surrounds the supervisor.

A backend says how to start its supervisor; this module holds the queueing, the restart and the session bookkeeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from abc import ABC, abstractmethod
from typing import Any

from genprm.errors import InputError, SandboxUnavailable
from genprm.execution.base import ExecutionResult
from genprm.execution.client import SupervisorClient, SupervisorLost

DEFAULT_TIMEOUT_S = 5.0
DEFAULT_MAX_SESSIONS = 64
MAX_SOURCE_CHARACTERS = 4 << 20
SUPERVISOR_GRACE_S = 60.0
"""How long after a cell's time limit its reply may come; then the supervisor itself is taken for dead."""


class SupervisedSandbox(ABC):
    """A sandbox whose sessions live under one supervisor, started at the first cell and restarted when it died."""

    def __init__(
        self,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_sessions: int = DEFAULT_MAX_SESSIONS,
        max_running: int | None = None,
    ) -> None:
        """``timeout_s``: wall time of a cell unless its call says otherwise. ``max_running``: most cells that run at
        one moment (twice the cores unless given); further ones wait in order and their clock does not run."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        running = max(4, 2 * cores) if max_running is None else max_running
        for name, value in (("timeout_s", timeout_s), ("max_sessions", max_sessions), ("max_running", running)):
            if not value > 0:
                raise InputError(f"the sandbox option {name} is {value}; it must be more than 0")
        self.timeout_s = timeout_s
        self._max_sessions = max_sessions
        self._slots = asyncio.Semaphore(max_sessions)
        self._running = asyncio.Semaphore(running)
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._client: SupervisorClient | None = None
        self._closed = False

    @property
    def max_sessions(self) -> int:
        return self._max_sessions

    def session(self) -> SupervisedSession:
        return SupervisedSession(self)

    @abstractmethod
    async def _start(self) -> SupervisorClient:
        """Start a supervisor. Raises ``SandboxUnavailable``."""

    async def _discard(self, client: SupervisorClient) -> None:
        """Clean up after a supervisor that ended, by our wish or not."""
        await client.aclose()

    async def supervisor(self) -> SupervisorClient:
        """The running supervisor; a new one if it died. Raises ``SandboxUnavailable`` if none can be had."""
        async with self._starting:
            if self._closed:
                raise SandboxUnavailable("the sandbox is closed")
            if self._client is not None and not self._client.alive:
                dead, self._client = self._client, None
                await self._discard(dead)
            if self._client is None:
                self._client = await self._start()
            return self._client

    async def aclose(self) -> None:
        self._closed = True
        async with self._starting:
            client, self._client = self._client, None
            if client is not None:
                await self._discard(client)


class SupervisedSession:
    """The code state of one vote. See ``genprm.execution.base.Session``."""

    def __init__(self, sandbox: SupervisedSandbox) -> None:
        self._sandbox = sandbox
        self._turn = asyncio.Lock()
        self._home: SupervisorClient | None = None
        """The supervisor that holds our variables; ``None`` while there are none."""
        self._number = 0
        self._has_slot = False
        self._closed = False
        self._ending: asyncio.Future[dict[str, Any]] | None = None

    async def run(self, source: str, *, timeout_s: float | None = None) -> ExecutionResult:
        if timeout_s is not None and not timeout_s > 0:
            raise InputError(f"the time limit of a cell is {timeout_s} s; it must be more than 0")
        if len(source) > MAX_SOURCE_CHARACTERS:
            reason = f"source of {len(source)} characters is longer than {MAX_SOURCE_CHARACTERS}"
            return ExecutionResult("error", "", f"SyntaxError: {reason}")
        async with self._turn:
            if not self._has_slot:
                await self._sandbox._slots.acquire()
                self._has_slot = True
            async with self._sandbox._running:
                if self._closed:
                    self._free_slot()
                    raise SandboxUnavailable("the session is closed")
                return await self._run(source, self._sandbox.timeout_s if timeout_s is None else timeout_s)

    async def _run(self, source: str, timeout_s: float) -> ExecutionResult:
        """Run the cell; once more on a new supervisor if the old one died and no variables were lost with it."""
        for last in (False, True):
            client = await self._sandbox.supervisor()
            had_state = self._home is not None
            if had_state and self._home is not client:
                self._home = None
                raise SandboxUnavailable("the sandbox's supervisor died between two cells, and the session with it")
            if not had_state:
                self._number = next(self._sandbox._numbers)
            try:
                return await self._ask(client, source, timeout_s)
            except SupervisorLost as error:
                self._home = None
                if had_state or last:
                    raise SandboxUnavailable(f"{error} while a cell ran; the session is lost") from error
        raise AssertionError("unreachable")

    async def _ask(self, client: SupervisorClient, source: str, timeout_s: float) -> ExecutionResult:
        reply = client.send("cell", session=self._number, source=source, timeout_s=timeout_s)
        self._home = client
        try:
            for wait_s in (timeout_s + SUPERVISOR_GRACE_S, 5.0):  # twice: our own loop may have been the slow one
                done, _ = await asyncio.wait([reply], timeout=wait_s)
                if done:
                    break
            else:
                client.kill()
                raise SupervisorLost("the sandbox's supervisor did not answer")
        except asyncio.CancelledError:
            self._end()
            raise
        answer = reply.result()
        if "unavailable" in answer:
            raise SandboxUnavailable(f"the sandbox failed: {answer['unavailable']}")
        if answer["session_lost"]:
            self._home = None
        fields = ("status", "stdout", "error", "duration_s", "truncated", "session_lost")
        return ExecutionResult(**{name: answer[name] for name in fields})

    def _end(self) -> None:
        """Have the supervisor kill what runs under our number. A next cell would get a new number."""
        client, self._home = self._home, None
        if client is not None:
            with contextlib.suppress(SupervisorLost):
                self._ending = client.send("close", session=self._number)

    def _free_slot(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._sandbox._slots.release()

    async def aclose(self) -> None:
        self._closed = True
        self._end()
        try:
            if self._ending is not None:
                await asyncio.wait([self._ending], timeout=SUPERVISOR_GRACE_S)
        finally:
            self._free_slot()
