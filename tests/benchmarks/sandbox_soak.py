"""Does a sandbox wear? Thousands of executions in a row, one in fifty hostile, and what adds up meanwhile.

``python tests/benchmarks/sandbox_soak.py docker [--executions 10000]``

Ten rounds of sessions of up to four cells each, on all slots at once. Every request must give exactly one result, and
the right one. Between rounds the sandbox rests and its memory is read. Ends with exit code 1 if something was lost,
wrong or left over, if memory grew by more than 50 MB, or if ordinary cells became more than 1.5 times as slow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.errors import SandboxUnavailable
from genprm.execution import DockerSandbox, open_sandbox
from genprm.execution.attacks import ATTACKS, Attack, host
from genprm.execution.attacks.arena import Attackable, processes
from genprm.execution.containers import Owner, owned
from genprm.execution.daemon import connect
from tests.benchmarks.measure import finish, table

HOSTILE = (
    "T1-endless-loop", "T5-daemon", "T6-partial-output", "M1-at-once", "M2-growth", "M3-mmap", "P1-fork-bomb",
    "P1-full-table", "P4-runaway", "P7-segmentation-fault", "P7-recursion", "O1-flood", "O2-one-line", "O6-every-way",
    "R2-scribbles", "R3-hard-exit", "R4-vandal", "F1-fill-scratch", "F2-left-files", "F3-traps", "F4-own-folder",
    "V5-planted-code",
)  # fmt: skip
HOSTILE_SHARE = 0.02
ROUNDS = 10
AT_ONCE = 4
MOST_GROWTH_MB, MOST_DRIFT = 50.0, 1.5
SOLVE = "from sympy import symbols, solve\ny = symbols('y')\nprint(solve(y**2 - {a}*y + {b}, y))"

Cell = tuple[str, str]
"""Source, and what it prints."""


def ordinary(number: int) -> list[Cell]:
    """The cells of a session as verification code is: its own arithmetic, variables of earlier cells, sympy, numpy."""
    cells = [
        (f"x = {number}\nprint(x * 2 == {2 * number})", "True\n"),
        ("import numpy as np\nprint(int(np.arange(x % 9 + 1).sum()))", f"{sum(range(number % 9 + 1))}\n"),
        (SOLVE.format(a=2 * number + 1, b=number * (number + 1)), f"[{number}, {number + 1}]\n"),
        ("from fractions import Fraction\nprint(Fraction(x, 2) + Fraction(x, 2))", f"{number}\n"),
    ]
    return cells[: number % 4 + 1]


@dataclass(slots=True)
class Round:
    """What happened between two rests."""

    seconds: list[float] = field(default_factory=list)
    """Of ordinary cells."""
    ends: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    requests: int = 0
    own_mb: float = 0.0
    sandbox_mb: float = 0.0


async def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("sandbox", choices=("docker", "local"))
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/sandbox-soak"))
    options = parser.parse_args()
    sandbox = open_sandbox(options.sandbox, timeout_s=60.0, memory_mb=256)
    assert isinstance(sandbox, Attackable)
    hostile = [one for one in ATTACKS if one.key in HOSTILE and one.needs <= sandbox.claims]
    rng = random.Random(options.seed)
    async with contextlib.aclosing(sandbox):
        numbers = itertools.count(1)
        await run_round(sandbox, options.executions // 50, numbers, hostile, rng)  # all containers run from here on
        rounds = []
        for index in range(ROUNDS):
            rounds.append(await run_round(sandbox, options.executions // ROUNDS, numbers, hostile, rng))
            print(describe(index, rounds[-1]), file=sys.stderr, flush=True)
        last = processes(sandbox)
    return report(sandbox, rounds, len(hostile), left_over(sandbox, last), options.out)


async def run_round(
    sandbox: Attackable, executions: int, numbers: Iterator[int], hostile: list[Attack], rng: random.Random
) -> Round:
    """So many executions, then a rest, then a look at memory."""
    done = Round()

    async def work() -> None:
        while done.requests < executions:
            if rng.random() < HOSTILE_SHARE * 2.5:  # a session of the others has 2.5 cells on average
                await attack(sandbox, rng.choice(hostile), done)
            else:
                await check(sandbox, ordinary(next(numbers)), done)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await asyncio.sleep(1.0)
    done.own_mb = host.resident_bytes() / 2**20
    done.sandbox_mb = await asyncio.to_thread(memory_mb, sandbox)
    return done


async def check(sandbox: Attackable, cells: list[Cell], done: Round) -> None:
    """One session of ordinary code."""
    async with contextlib.aclosing(sandbox.session()) as session:
        for source, expected in cells:
            done.requests += 1
            started = time.perf_counter()
            try:
                result = await session.run(source)
            except SandboxUnavailable as error:
                done.troubles.append(f"no result: {error}")
                return
            done.seconds.append(time.perf_counter() - started)
            done.ends[result.status] += 1
            if (result.status, result.stdout) != ("ok", expected):
                done.troubles.append(f"wrong: {result.status} {result.error[:100]} {result.stdout[:100]!r}")


async def attack(sandbox: Attackable, one: Attack, done: Round) -> None:
    """One session of hostile code."""
    async with contextlib.aclosing(sandbox.session()) as session:
        for source in one.cells:
            done.requests += 1
            try:
                result = await session.run(source, timeout_s=min(one.timeout_s, 20.0))
            except SandboxUnavailable as error:
                done.troubles.append(f"{one.key}: no result: {error}")
                return
            done.ends[f"hostile {result.status}"] += 1
        if result.status not in one.ends:
            done.troubles.append(f"{one.key} ended {result.status} {result.error[:100]}")


def memory_mb(sandbox: Attackable) -> float:
    """Of all containers as the engine counts it, files in memory included; of local processes, shared pages once."""
    if not isinstance(sandbox, DockerSandbox):
        return sum(_proportional_mb(process.pid) for process in processes(sandbox))
    with contextlib.closing(connect()) as api:
        found = [api.stats(one, stream=False, one_shot=True)["memory_stats"]["usage"] for one in sandbox.containers]
    return float(sum(found) / 2**20)


def _proportional_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def left_over(sandbox: Attackable, last: frozenset[host.Process]) -> list[str]:
    """Processes and containers that a closed sandbox has left."""
    time.sleep(2.0)
    found = [f"process {one.pid}" for one in last if host.alive(one)]
    if isinstance(sandbox, DockerSandbox):
        with contextlib.closing(connect()) as api:
            found += [f"container {one[:12]}" for one, owner in owned(api) if owner == Owner.me()]
    return found


def describe(index: int, one: Round) -> str:
    return (
        f"round {index + 1}: {one.requests} requests, median {1000 * statistics.median(one.seconds):.1f} ms, "
        f"own memory {one.own_mb:.0f} MB, sandbox {one.sandbox_mb:.0f} MB, {len(one.troubles)} troubles"
    )


def report(sandbox: Attackable, rounds: list[Round], hostile: int, left: list[str], out: Path) -> int:
    medians = [1000 * statistics.median(one.seconds) for one in rounds]
    drift = medians[-1] / medians[0]
    own, theirs = rounds[-1].own_mb - rounds[0].own_mb, rounds[-1].sandbox_mb - rounds[0].sandbox_mb
    requests, results = sum(one.requests for one in rounds), sum(one.ends.total() for one in rounds)
    attacks = sum(count for one in rounds for name, count in one.ends.items() if name.startswith("hostile"))
    troubles = [*left, *(trouble for one in rounds for trouble in one.troubles)]
    if own > MOST_GROWTH_MB or theirs > MOST_GROWTH_MB or drift > MOST_DRIFT or requests != results:
        troubles.append(f"grown by {own:.0f} and {theirs:.0f} MB, drift {drift:.2f}, {requests - results} unanswered")
    for trouble in troubles:
        print(trouble)
    rows = [
        [index + 1, one.requests, f"{median:.1f}", f"{one.own_mb:.0f}", f"{one.sandbox_mb:.0f}"]
        for index, (one, median) in enumerate(zip(rounds, medians, strict=True))
    ]
    note = (
        f"{requests} requests, {results} results, {attacks} of them of {hostile} kinds of attacks; memory of the owner "
        f"grew by {own:.1f} MB, of the sandbox by {theirs:.1f} MB; the median drifted by a factor of {drift:.2f}; "
        f"{len(left)} processes and containers left; {len(troubles)} troubles."
    )
    columns = ["round", "requests", "median ms", "owner MB", "sandbox MB"]
    figures = {"requests": requests, "results": results, "own_mb": own, "sandbox_mb": theirs, "drift": drift}
    finish(out, [table(f"Wear of the {sandbox.kind} sandbox", columns, rows, note)], figures)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
