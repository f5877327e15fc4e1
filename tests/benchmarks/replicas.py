"""What replicas bring: the same votes on 1, 2 and 4 of them, over an engine whose answers take a fixed time.

``python tests/benchmarks/replicas.py [--solutions 40] [--votes 8] [--latency 0.25] [--model]``

Every answer takes ``--latency`` seconds and costs next to nothing, so that what is measured is how well orders are
spread and how little the spreading costs, even on a machine with two cores. With ``--model`` also the shipped model on
one and two real replicas, which share the cores of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import RayCluster, Solution, Verifier
from genprm.engines import Completion, GenerationRequest, ScriptedEngine
from genprm.lab import world
from tests.benchmarks.large_run import write
from tests.benchmarks.measure import finish, table

IN_FLIGHT = 8
"""Votes at once in each replica."""


class FixedLatency(ScriptedEngine):
    """Answers after a fixed time, however many ask at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__(write)
        self._seconds = seconds

    async def generate(self, request: GenerationRequest) -> Completion:
        await asyncio.sleep(self._seconds)
        return await super().generate(request)


class OpenFixed:
    """Opens the engine in its replica."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> FixedLatency:
        return FixedLatency(self.seconds)


def seconds_of(solutions: list[Solution], out: Path, replicas: int, **options: Any) -> float:
    """From the first order to the last result; replicas are open before."""
    shutil.rmtree(out, ignore_errors=True)
    with Verifier(**options, ray=RayCluster(replicas=replicas)) as verifier:
        started = time.perf_counter()
        summary = verifier.verify_to_dir(solutions, out)
        seconds = time.perf_counter() - started
    assert summary.metrics["votes"] == len(solutions) * options["votes"]
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--solutions", type=int, default=40)
    parser.add_argument("--votes", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.25)
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/replicas"))
    options = parser.parse_args()
    solutions = [Solution(f"Problem {n}", ("one", "two"), id=f"s{n}") for n in range(options.solutions)]
    fixed = {
        "engine": OpenFixed(options.latency), "mode": "analyze", "votes": options.votes, "concurrency": IN_FLIGHT,
    }  # fmt: skip
    cases = [("fixed latency", count, solutions, fixed) for count in (1, 2, 4)]
    if options.model:
        few = world.test_set(18, seed=20260)
        model = {"engine": "transformers", "sandbox": "local", "votes": options.votes}
        cases += [("genprm-tiny", count, few, model) for count in (1, 2)]
    rows, figures, first = [], {}, 0.0
    for name, count, some, settings in cases:
        seconds = seconds_of(some, options.out / "run", count, **settings)
        first = seconds if count == 1 else first
        figures[f"{name} {count}"] = {"seconds": seconds, "speedup": first / seconds}
        rows.append([name, count, f"{seconds:.1f}", f"{first / seconds:.2f}"])
        print(rows[-1], file=sys.stderr, flush=True)
    note = f"{options.solutions} solutions, {options.votes} votes, {IN_FLIGHT} votes at once in each replica."
    finish(options.out, [table("Replicas on Ray", ["engine", "replicas", "seconds", "speed-up"], rows, note)], figures)


if __name__ == "__main__":
    main()
