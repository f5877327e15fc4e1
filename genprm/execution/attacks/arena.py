"""Attacks a sandbox and looks at everything around: the result, the neighbours, the host, and the next session.

    async with Arena(sandbox) as arena:
        for attack in ATTACKS:
            outcome = await arena.run(attack)

Attacks run one after the other: what one of them leaves behind must not be laid at the door of the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from genprm.errors import SandboxUnavailable
from genprm.execution.attacks import host
from genprm.execution.attacks.case import BREACH, CANARY, Attack
from genprm.execution.base import ExecutionResult, Session
from genprm.execution.docker import DockerSandbox
from genprm.execution.local import LocalSandbox

Attackable = DockerSandbox | LocalSandbox

PATIENCE_S = 10.0
"""What a busy machine may add to a time limit, to a kill, or to the answer of a neighbour."""
HOST_MEMORY = 96 << 20
"""Bytes: most that this process may grow while an attack runs."""
LOOK_S = 0.05

_HOLD = "secret = '{secret}'\nopen('mine', 'w').write(secret)\nprint('ready')"
_STILL = "print(secret == open('mine').read())"
_HEALTH = """
import builtins, json, math, os, resource, signal, sys, threading
import numpy, sympy
x = sympy.Symbol('x')
print(sympy.solve(x**2 - 4, x), numpy.arange(4).sum(), json.dumps([1, 'a']), len('ab'), math.factorial(20))
print(sorted(os.listdir('.')), sorted(os.environ), threading.active_count(), sys.getrecursionlimit(), os.umask(0o22))
print([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)], signal.getitimer(0), sys.argv)
print(resource.getrlimit(resource.RLIMIT_DATA), resource.getrlimit(resource.RLIMIT_NOFILE))
print(len(vars(builtins)), len(sys.path))
open('file', 'w').write('x')
"""
"""What a fresh session is like. The same before and after every attack."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attack on one sandbox went."""

    attack: Attack
    verdict: Literal["survived", "breached", "not claimed"]
    reasons: tuple[str, ...] = ()
    """What went wrong, or the claims that are missing; a sentence each."""
    seconds: float = 0.0
    result: ExecutionResult | None = None
    """Of the last cell."""


@dataclass(slots=True)
class _Watch:
    """What happened around an attack while it ran."""

    memory: int = 0
    processes: set[host.Process] = field(default_factory=set)
    slowest_s: float = 0.0
    neighbour: str = ""


class Arena:
    """A sandbox under attack, with a neighbour session in it that must notice nothing."""

    def __init__(self, sandbox: Attackable) -> None:
        self._sandbox = sandbox
        self._stack = contextlib.ExitStack()
        self._neighbour: Session | None = None
        self._healthy = ""
        self._steady = 0

    async def __aenter__(self) -> Self:
        self._listeners = self._stack.enter_context(host.listening())
        await self._settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self._neighbour is not None:
            await self._neighbour.aclose()

    async def _settle(self) -> None:
        """A new neighbour, and what is normal. The first attack needs it, and the one after a lost neighbour."""
        if self._neighbour is not None:
            await self._neighbour.aclose()
        self._neighbour = self._sandbox.session()
        hold = _HOLD.format(secret=CANARY + secrets.token_hex(16))
        ready = await self._neighbour.run(hold, timeout_s=180.0)
        if ready.stdout != "ready\n":
            raise SandboxUnavailable(f"the sandbox cannot run plain code ({ready.status} {ready.error})")
        self._healthy = await self._health()
        self._steady = len(processes(self._sandbox))

    async def run(self, attack: Attack) -> Outcome:
        """Run one attack, unless the sandbox does not claim to survive it."""
        if missing := attack.needs - self._sandbox.claims:
            return Outcome(attack, "not claimed", tuple(sorted(missing)))
        started = time.monotonic()
        reasons: list[str] = []
        result = None
        memory = host.resident_bytes()
        async with self._watching() as watch:
            try:
                result = await self._attempt(attack, reasons)
            except SandboxUnavailable as error:
                reasons.append(f"the sandbox failed: {error}")
        if watch.neighbour:
            reasons.append(watch.neighbour)
        if watch.slowest_s > PATIENCE_S:
            reasons.append(f"a neighbour waited {watch.slowest_s:.1f} s for its answer")
        if watch.memory - memory > HOST_MEMORY:
            reasons.append(f"memory of the host grew by {watch.memory - memory >> 20} MB")
        reasons += [f"a listener of the host was reached: {call}" for call in self._listeners.reached()]
        reasons += await self._aftermath(attack, watch)
        seconds = time.monotonic() - started
        return Outcome(attack, "breached" if reasons else "survived", tuple(reasons), seconds, result)

    async def _attempt(self, attack: Attack, reasons: list[str]) -> ExecutionResult | None:
        """Run the cells, and judge their results."""
        result = None
        async with contextlib.aclosing(self._sandbox.session()) as session:
            for cell in attack.cells:
                started = time.monotonic()
                result = await session.run(self._listeners.fill(cell), timeout_s=attack.timeout_s)
                took = time.monotonic() - started
                if took > attack.timeout_s + PATIENCE_S:
                    reasons.append(f"the result came after {took:.1f} s, the limit is {attack.timeout_s:g} s")
                if BREACH in result.stdout:
                    reasons.append(result.stdout[result.stdout.index(BREACH) :][:300].strip())
        assert result is not None, "an attack has at least one cell"
        seen = f"{result.status}, error {result.error[:120]!r}, output {result.stdout[-200:]!r}"
        if result.status not in attack.ends:
            reasons.append(f"must end {' or '.join(sorted(attack.ends))}, ended {seen}")
        elif attack.holds is not None and not attack.holds(result):
            reasons.append(f"{attack.requires or 'the result must be another'}: {seen}")
        return result

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[_Watch]:
        """Look at the host and talk to the neighbour until the attack is over."""
        watch = _Watch()
        tasks = [asyncio.create_task(self._look(watch)), asyncio.create_task(self._ask_neighbour(watch))]
        over = asyncio.Event()
        self._over = over
        try:
            yield watch
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def _look(self, watch: _Watch) -> None:
        while not self._over.is_set():
            watch.memory = max(watch.memory, host.resident_bytes())
            watch.processes |= await asyncio.to_thread(processes, self._sandbox)
            await asyncio.sleep(LOOK_S)

    async def _ask_neighbour(self, watch: _Watch) -> None:
        """The neighbour keeps its variables and its file, and answers."""
        assert self._neighbour is not None
        while not watch.neighbour:
            started = time.monotonic()
            try:
                answer = await self._neighbour.run(_STILL, timeout_s=180.0)
            except SandboxUnavailable as error:
                watch.neighbour = f"a neighbour was lost: {error}"
                return
            watch.slowest_s = max(watch.slowest_s, time.monotonic() - started)
            if (answer.status, answer.stdout) != ("ok", "True\n"):
                watch.neighbour = f"a neighbour was harmed: {answer.status} {answer.error[:120]} {answer.stdout[:80]!r}"
            if self._over.is_set():
                return
            await asyncio.sleep(5 * LOOK_S)

    async def _aftermath(self, attack: Attack, watch: _Watch) -> list[str]:
        """What is left of an attack: processes, files, or a sandbox that is not what it was."""
        reasons = []
        try:
            if attack.later:
                reasons += await self._look_later(attack)
            if (health := await self._health()) != self._healthy:
                reasons.append(
                    f"a fresh session is not what it was: {health[:400]!r} instead of {self._healthy[:400]!r}"
                )
        except SandboxUnavailable as error:
            reasons.append(f"the sandbox did not recover: {error}")
        if left := await self._left(watch):
            reasons.append(f"{len(left)} processes are left: {sorted(process.pid for process in left)[:8]}")
        if watch.neighbour:
            await self._settle()
        return reasons

    async def _look_later(self, attack: Attack) -> list[str]:
        async with contextlib.aclosing(self._sandbox.session()) as session:
            result = await session.run(attack.later, timeout_s=30.0)
        if result.status != "ok" or BREACH in result.stdout:
            return [f"a later session found {result.status} {result.error[:120]} {result.stdout[:300].strip()!r}"]
        return []

    async def _left(self, watch: _Watch) -> set[host.Process]:
        """Processes that the attack started and that are still there: more than a sandbox at rest has."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            now = processes(self._sandbox)
            gone_astray = {one for one in watch.processes - now if host.alive(one)}
            if not gone_astray and len(now) <= self._steady:
                return set()
            if time.monotonic() > deadline:
                return gone_astray or set(now)
            await asyncio.sleep(LOOK_S)

    async def _health(self) -> str:
        """What a fresh session prints about itself."""
        async with contextlib.aclosing(self._sandbox.session()) as session:
            result = await session.run(_HEALTH, timeout_s=180.0)
        return f"{result.status} {result.error}\n{result.stdout}"


def processes(sandbox: Attackable) -> frozenset[host.Process]:
    """The sandbox's processes as the host sees them."""
    if isinstance(sandbox, DockerSandbox):
        return host.of_containers(sandbox.containers)
    return host.below(sandbox.pids)
