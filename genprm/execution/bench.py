"""How fast the sandbox is, against the other ways to run a piece of Python, in one run on one machine.

async for row in measure("docker"): print(row.way, row.trivial.p50)

The same two pieces of code everywhere: ``print(1 + 1)`` and a sympy solve, whose numbers differ each time so that no
cache answers. A way that this machine does not have is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from genprm.errors import SandboxUnavailable
from genprm.execution import image as images
from genprm.execution.base import ExecutionResult, Sandbox
from genprm.execution.daemon import connect, failures

TRIVIAL = "print(1 + 1)"
SOLVE = "from sympy import symbols, solve\nx = symbols('x')\nprint(solve(x**2 - {a}*x + {b}, x))"
WARM_RUNS, NEW_RUNS, SLOW_RUNS = 200, 60, 12
THROUGHPUT_S = 8.0
CALL_WAIT_S = 120.0
GRACE_RUNS = 5
"""Runs before the clock starts."""

Runner = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds, of ``runs`` runs one after the other."""

    p50: float
    p95: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        ranked = sorted(seconds)
        return cls(ranked[(len(ranked) - 1) // 2], ranked[math.ceil(0.95 * len(ranked)) - 1], len(ranked))


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run code."""

    way: str
    trivial: Latency
    solve: Latency
    solves_per_s: float
    """With as many at once as the machine has cores; the sandbox decides by itself."""


def sources() -> tuple[itertools.repeat[str], map[str]]:
    """The two pieces of code, without end."""
    return itertools.repeat(TRIVIAL), map(_solve, itertools.count(1))


def _solve(number: int) -> str:
    return SOLVE.format(a=2 * number + 1, b=number * (number + 1))


async def measure(sandbox: Sandbox) -> AsyncIterator[Row]:
    """All ways, the sandbox's own first. Raises ``SandboxUnavailable`` if the sandbox is not there."""
    async with contextlib.aclosing(sandbox):
        await sandbox.start()
        async with contextlib.aclosing(sandbox.session()) as session:
            yield await _row(f"{sandbox.kind}: warm session", _in(session.run), WARM_RUNS, lambda: _parallel(sandbox))
        yield await _row(
            f"{sandbox.kind}: new session", _in_new(sandbox), NEW_RUNS, lambda: _in_turns(_in_new(sandbox))
        )
    with contextlib.ExitStack() as stack:
        for way, runner in _others(stack):
            yield await _row(way, runner, SLOW_RUNS, lambda runner=runner: _in_turns(runner))  # type: ignore[misc]
    yield await _row("exec in this process", _exec, WARM_RUNS, lambda: _in_turns(_exec, at_once=1))


async def _row(way: str, run: Runner, runs: int, throughput: Callable[[], Awaitable[float]]) -> Row:
    latencies = []
    for code in sources():
        for _ in range(min(GRACE_RUNS, runs // 4)):
            await run(next(code))
        latencies.append(Latency.of([await _timed(run, next(code)) for _ in range(runs)]))
    return Row(way, latencies[0], latencies[1], await throughput())


async def _timed(run: Runner, source: str) -> float:
    started = time.perf_counter()
    await run(source)
    return time.perf_counter() - started


# The sandbox


def _in(run: Callable[..., Awaitable[ExecutionResult]]) -> Runner:
    async def runner(source: str) -> None:
        result = await run(source, timeout_s=CALL_WAIT_S)
        if result.status != "ok":
            raise SandboxUnavailable(f"the sandbox cannot run plain code ({result.status} {result.error})")

    return runner


def _in_new(sandbox: Sandbox) -> Runner:
    async def runner(source: str) -> None:
        async with contextlib.aclosing(sandbox.session()) as session:
            await _in(session.run)(source)

    return runner


async def _parallel(sandbox: Sandbox) -> float:
    """Solves in a second, in as many warm sessions as there are votes in a small run."""
    async with contextlib.AsyncExitStack() as stack:
        count = min(16, sandbox.max_sessions)
        sessions = [await stack.enter_async_context(contextlib.aclosing(sandbox.session())) for _ in range(count)]
        await asyncio.gather(*(session.run("import sympy", timeout_s=CALL_WAIT_S) for session in sessions))
        return await _rate([_in(session.run) for session in sessions])


async def _in_turns(run: Runner, at_once: int | None = None) -> float:
    return await _rate([run] * (at_once or len(os.sched_getaffinity(0))))


async def _rate(runners: Sequence[Runner]) -> float:
    """Solves in a second when each runner starts the next one as soon as it is done."""
    code, started = sources()[1], time.perf_counter()
    done = 0

    async def keep_running(run: Runner) -> None:
        nonlocal done
        while time.perf_counter() - started < THROUGHPUT_S:
            await run(next(code))
            done += 1

    await asyncio.gather(*map(keep_running, runners))
    return done / (time.perf_counter() - started)


# The others


def _others(stack: contextlib.ExitStack) -> list[tuple[str, Runner]]:
    fresh = ("fresh interpreter", _command([sys.executable, "-I", "-c"]))
    docker = shutil.which("docker")
    image = _image()
    if docker is None or image is None:
        return [fresh]
    plain = [docker, "run", "--rm", "--network", "none", "--entrypoint", "python"]
    sleeper = [docker, "run", "--rm", "--detach", "--network", "none", "--entrypoint", "python", image]
    started = subprocess.run(
        [*sleeper, "-c", "import time; time.sleep(3600)"], capture_output=True, text=True, check=True
    )
    container = started.stdout.strip()
    stack.callback(subprocess.run, [docker, "rm", "--force", container], capture_output=True, check=False)
    return [
        ("docker exec", _command([docker, "exec", container, "python", "-c"])),
        ("cold docker run", _command([*plain, image, "-c"])),
        fresh,
    ]


def _image() -> str | None:
    with contextlib.suppress(SandboxUnavailable):
        api = connect()
        with contextlib.closing(api), failures():
            return images.find(api).reference
    return None


def _command(command: list[str]) -> Runner:
    async def runner(source: str) -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, source, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), CALL_WAIT_S)
        if process.returncode:
            raise SandboxUnavailable(f"{command[0]} failed: {json.dumps(output.decode(errors='replace')[-300:])}")

    return runner


async def _exec(source: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, "<string>", "exec"), {"__name__": "__main__"})
