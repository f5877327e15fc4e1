"""Sessions on top of supervisors: everything that sandboxes have in common, whatever surrounds a supervisor.

A backend says how to start a supervisor and how many there may be (``pool.py`` places sessions on them); this module
holds the queueing, the second attempt and the session bookkeeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from genprm.errors import InputError, SandboxUnavailable
from genprm.execution.base import ExecutionResult
from genprm.execution.client import SupervisorClient, SupervisorLost
from genprm.execution.pool import Limits, Pool, Worker

DEFAULT_TIMEOUT_S = 5.0
DEFAULT_MAX_SESSIONS = 64
DEFAULT_MEMORY_MB = 1024
LEAST_MEMORY_MB = 256
"""numpy and sympy alone take about half of it."""
MAX_SOURCE_CHARACTERS = 4 << 20
SUPERVISOR_GRACE_S = 60.0
"""How long after a cell's time limit its reply may come; then the supervisor itself is taken for dead."""


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SupervisedSandbox(ABC):
    """A sandbox whose sessions live under supervisors, started when the first cell comes and replaced when they die."""

    def __init__(
        self,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        memory_mb: int = DEFAULT_MEMORY_MB,
        max_sessions: int = DEFAULT_MAX_SESSIONS,
        max_running: int | None = None,
        supervisors: int = 1,
        max_uses: int | None = None,
        lifetime_s: float | None = None,
    ) -> None:
        """``timeout_s``: wall time of a cell unless its call says otherwise. ``memory_mb`` holds for each session:
        private data of any process, resident memory of all together. ``max_running``: most cells that run at one
        moment (twice the cores unless given); further ones wait in order and their clock does not run."""
        running = max(4, 2 * usable_cores()) if max_running is None else max_running
        options = {"timeout_s": timeout_s, "max_sessions": max_sessions, "max_running": running}
        for name, value in options.items():
            if not value > 0:
                raise InputError(f"the sandbox option {name} is {value}; it must be more than 0")
        if memory_mb < LEAST_MEMORY_MB:
            raise InputError(f"the sandbox option memory_mb is {memory_mb}; it must be {LEAST_MEMORY_MB} or more")
        self.timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._max_sessions = max_sessions
        self._room = -(-max_sessions // supervisors)
        self._slots = asyncio.Semaphore(max_sessions)
        self._running = asyncio.Semaphore(running)
        self._numbers = itertools.count(1)
        self._pool = Pool(self._start, Limits(supervisors, self._room, max_uses, lifetime_s))

    @property
    @abstractmethod
    def kind(self) -> str: ...

    @property
    @abstractmethod
    def claims(self) -> frozenset[str]: ...

    @abstractmethod
    def describe(self) -> str: ...

    @property
    def identity(self) -> Mapping[str, str]:
        return {"kind": self.kind}

    @property
    def max_sessions(self) -> int:
        return self._max_sessions

    def session(self) -> SupervisedSession:
        return SupervisedSession(self)

    async def start(self) -> None:
        self._pool.release(await self._pool.acquire())

    @abstractmethod
    async def _start(self) -> SupervisorClient:
        """Start a supervisor. Raises ``SandboxUnavailable``; cancelled, it leaves nothing behind."""

    async def aclose(self) -> None:
        await self._pool.aclose()


class SupervisedSession:
    """The code state of one vote. See ``genprm.execution.base.Session``."""

    def __init__(self, sandbox: SupervisedSandbox) -> None:
        self._sandbox = sandbox
        self._turn = asyncio.Lock()
        self._home: Worker | None = None
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
        """Run the cell; once more on another supervisor if the first one died and no variables were lost with it."""
        for last in (False, True):
            had_state = self._home is not None
            if self._home is None:
                self._home = await self._sandbox._pool.acquire()
                if self._closed:
                    self._leave()
                    raise SandboxUnavailable("the session is closed")
                self._number = next(self._sandbox._numbers)
            elif not self._home.client.alive:
                self._leave()
                self._sandbox._pool.require_open()
                raise SandboxUnavailable("the sandbox's supervisor died between two cells, and the session with it")
            try:
                return await self._ask(self._home.client, source, timeout_s)
            except SupervisorLost as error:
                self._leave()
                if had_state or last:
                    raise SandboxUnavailable(f"{error} while a cell ran; the session is lost") from error
        raise AssertionError("unreachable")

    async def _ask(self, client: SupervisorClient, source: str, timeout_s: float) -> ExecutionResult:
        reply = client.send("cell", session=self._number, source=source, timeout_s=timeout_s)
        try:
            for wait_s in (timeout_s + SUPERVISOR_GRACE_S, 5.0):  # twice: our own loop may have been the slow one
                done, _ = await asyncio.wait([reply], timeout=wait_s)
                if done:
                    break
            else:
                client.kill("the sandbox's supervisor did not answer")
                raise SupervisorLost("the sandbox's supervisor did not answer")
        except asyncio.CancelledError:
            self._end()
            raise
        answer = reply.result()
        if answer.get("innocent"):  # another session took our container's memory: for us as if the container had died
            raise SupervisorLost(answer["unavailable"])
        if "unavailable" in answer:
            raise SandboxUnavailable(f"the sandbox failed: {answer['unavailable']}")
        if answer["session_lost"]:
            self._leave()
        fields = ("status", "stdout", "error", "duration_s", "truncated", "session_lost")
        return ExecutionResult(**{name: answer[name] for name in fields})

    def _end(self) -> None:
        """Have the supervisor kill what runs under our number. A next cell would get a new number."""
        if self._home is not None:
            with contextlib.suppress(SupervisorLost):
                self._ending = self._home.client.send("close", session=self._number)
            self._leave()

    def _leave(self) -> None:
        """We have no variables on any supervisor any more."""
        home, self._home = self._home, None
        if home is not None:
            self._sandbox._pool.release(home)

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
