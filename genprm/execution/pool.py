"""The supervisors of a sandbox: as many as the load needs, none that is dead, sick or worn out for a new session.

* A session is placed on the supervisor with the fewest; another one is started while every one has some and there are
  fewer than ``size``. So one session costs one supervisor, and many share all of them evenly.
* A supervisor that died is never handed out. One that does not answer is looked at from outside (``trouble``): paused
  or gone means killed, with its requests failing at once; busy means nothing.
* One that has served ``max_uses`` sessions or is older than ``lifetime_s`` is worn: its successor is started, it takes
  no session that another one can take, and it ends when its last session does.

No thread and no task per request. Whoever waits, waits for a start; those are served in the order in which they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from genprm.errors import SandboxUnavailable
from genprm.execution.client import SupervisorClient, SupervisorLost

STARTS_AT_ONCE = 4
"""More only wait for each other in the engine."""
AFTER_FAILED_START_S = 10.0
"""How long the supervisors there are make do without another one after a start failed."""
HEALTH_EVERY_S = 2.0
ANSWER_S = 3.0
"""How long a supervisor may take to answer before it is looked at from outside."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many supervisors there may be, and how long each is used."""

    size: int
    room: int
    """Most sessions on one supervisor."""
    max_uses: int | None = None
    """Sessions."""
    lifetime_s: float | None = None


@dataclass(eq=False, slots=True)
class Worker:
    """A supervisor and the sessions that are on it."""

    client: SupervisorClient
    born: float = field(default_factory=time.monotonic)
    sessions: int = 0
    uses: int = 0
    check: asyncio.Task[None] | None = None


class Pool:
    """Places sessions on supervisors. Belongs to one event loop."""

    def __init__(self, start: Callable[[], Awaitable[SupervisorClient]], limits: Limits) -> None:
        """``start`` gives a running supervisor or raises ``SandboxUnavailable``; cancelled, it leaves nothing."""
        self._start = start
        self._limits = limits
        self.workers: list[Worker] = []
        self._starts: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._failed_at = float("-inf")
        self._closed = False

    async def acquire(self) -> Worker:
        """A living supervisor with room for one more session, which it has from now on until ``release``.

        Raises ``SandboxUnavailable`` if none can be had.
        """
        while True:
            self.require_open()
            self._tidy()
            worker = self._best()
            if self._wants_another(worker):
                self._keep(self._starts, self._start_one(), "start")
            if worker is not None:
                worker.sessions += 1
                worker.uses += 1
                return worker
            assert self._starts, "more sessions than the supervisors have room for"
            done, _ = await asyncio.wait(set(self._starts), return_when=asyncio.FIRST_COMPLETED)
            self._raise_if_hopeless(done)

    def require_open(self) -> None:
        """Raises ``SandboxUnavailable`` after ``aclose``."""
        if self._closed:
            raise SandboxUnavailable("the sandbox is closed")

    def release(self, worker: Worker) -> None:
        """A session is no longer on this supervisor."""
        worker.sessions -= 1
        self._tidy()

    async def aclose(self) -> None:
        """End all supervisors, also those that are just being started."""
        self._closed = True
        background = {*self._starts} | ({self._watch} if self._watch else set())
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        while self.workers:
            self._end(self.workers[-1])
        while self._endings:
            await asyncio.wait(set(self._endings))

    # Which supervisor

    def _best(self) -> Worker | None:
        free = [worker for worker in self.workers if worker.sessions < self._limits.room]
        return min(free, key=lambda worker: (self._worn(worker), worker.sessions), default=None)

    def _worn(self, worker: Worker) -> bool:
        limits = self._limits
        used_up = limits.max_uses is not None and worker.uses >= limits.max_uses
        return used_up or (limits.lifetime_s is not None and time.monotonic() - worker.born > limits.lifetime_s)

    def _wants_another(self, best: Worker | None) -> bool:
        fresh = sum(not self._worn(worker) for worker in self.workers)
        if fresh + len(self._starts) >= self._limits.size or len(self._starts) >= STARTS_AT_ONCE:
            return False
        if best is None:
            return True
        shared = best.sessions > 0 or self._worn(best)
        return shared and time.monotonic() - self._failed_at > AFTER_FAILED_START_S

    def _tidy(self) -> None:
        """Part with supervisors that died, and with worn ones that nobody uses and somebody can replace."""
        for worker in list(self.workers):
            replaced = any(not self._worn(other) for other in self.workers)
            if not worker.client.alive or (worker.sessions == 0 and replaced and self._worn(worker)):
                self._end(worker)

    # Beginning and ending

    async def _start_one(self) -> None:
        try:
            client = await self._start()
        except SandboxUnavailable as error:
            self._failed_at = time.monotonic()
            log.warning("%s", error)
            raise
        self.workers.append(Worker(client))
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_health(), name="genprm sandbox health")

    def _raise_if_hopeless(self, starts: set[asyncio.Task[None]]) -> None:
        """After a failed start: fail, unless another supervisor is there or on its way."""
        if self.workers or self._starts - starts or self._closed:
            return
        for task in starts:
            if not task.cancelled() and (error := task.exception()):
                if isinstance(error, SandboxUnavailable):  # one of its own for each who waits
                    raise SandboxUnavailable(str(error)) from error
                raise error

    def _end(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if worker.check is not None:
            worker.check.cancel()
        self._keep(self._endings, self._close(worker.client), "end")

    async def _close(self, client: SupervisorClient) -> None:
        await (client.aclose() if client.alive else client.aclose(wait_s=0.0))

    def _keep(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str) -> None:
        """Run in the background, held in ``tasks`` until done."""
        task = asyncio.create_task(work, name=f"genprm sandbox {name}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_look)

    # Health

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            self._tidy()
            for worker in self.workers:
                if worker.check is None or worker.check.done():
                    worker.check = asyncio.create_task(self._check(worker), name="genprm sandbox check")

    async def _check(self, worker: Worker) -> None:
        """Kill a supervisor that cannot answer. One that is only busy answers late, however late."""
        with contextlib.suppress(SupervisorLost):
            answer = worker.client.send("close", session=0)  # there is no session 0
            while not (await asyncio.wait([answer], timeout=ANSWER_S))[0]:
                if trouble := await worker.client.transport.trouble():
                    log.warning("the sandbox's %s is replaced: %s", worker.client.transport.name, trouble)
                    worker.client.kill(f"the sandbox's {worker.client.transport.name} is lost ({trouble})")
                    return


def _look(done: asyncio.Task[None]) -> None:
    """Whether it failed: whoever waits for it hears of it, and nobody may be waiting."""
    if not done.cancelled():
        done.exception()
