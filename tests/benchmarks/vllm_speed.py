"""How fast votes are on vLLM: against one request at a time, and against all that the engine could do.

``python tests/benchmarks/vllm_speed.py [--solutions 64] [--votes 8] [--baseline 8] [--model DIR]``

In an environment with vLLM (``.ci/run`` shows how one is made for a CPU). Three things are timed on the same engine:

* the votes of all solutions, as ``genprm verify`` runs them;
* the way the published evaluator runs them, on the first ``--baseline`` solutions: one request at a time, one vote
  after the other, code by ``exec`` in this very process;
* one flat batch: every prompt that the first run sent, with as many tokens as it generated there, all at once, with
  nothing between them. To this the processor seconds of the sandbox are added, divided by the cores.

The prefix cache is emptied before each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import Solution, Vote, resources
from genprm.engines.vllm import VLLMEngine
from genprm.execution import ExecutionResult, LocalSandbox, Sandbox
from genprm.lab import world
from genprm.rationale.settings import Settings
from genprm.verify import Judge, verify_many
from tests.benchmarks.measure import SAMPLING, finish, table


class Recording(VLLMEngine):
    """Remembers what it was asked for, and how many tokens came."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[tuple[Sequence[int], dict[str, Any]]] = []

    async def _ask(self, prompt: Sequence[int], **settings: Any) -> Any:
        output = await super()._ask(prompt, **settings)
        self.asked.append((prompt, {**settings, "max_tokens": len(output.token_ids)}))
        return output

    async def forget(self) -> None:
        """Empty the prefix cache and the memory of what was asked."""
        self.asked.clear()
        await self._llm.reset_prefix_cache()

    async def flat(self, asked: Sequence[tuple[Sequence[int], Mapping[str, Any]]]) -> None:
        """The same prompts and numbers of tokens, all at once; nothing stops early."""
        settings = [{**one, "ignore_eos": True, "stop": None} for _, one in asked]
        prompts = [prompt for prompt, _ in asked]
        await asyncio.gather(*(VLLMEngine._ask(self, p, **s) for p, s in zip(prompts, settings, strict=True)))


class InProcess:
    """Runs code by ``exec`` in this process, as the published evaluator does. For comparison only."""

    kind, identity, max_sessions = "in-process", {"kind": "in-process"}, 1

    def session(self) -> InProcess:
        self._names: dict[str, Any] = {}
        return self

    async def run(self, source: str, *, timeout_s: float | None = None) -> ExecutionResult:
        started, output = time.perf_counter(), io.StringIO()
        status, error = "ok", ""
        with contextlib.redirect_stdout(output):
            try:
                exec(source, self._names)
            except Exception as raised:  # noqa: BLE001 (whatever the model wrote)
                status, error = "error", f"{type(raised).__name__}: {raised}"
        return ExecutionResult(status, output.getvalue(), error, time.perf_counter() - started)  # type: ignore[arg-type]

    async def start(self) -> None:
        """Nothing to start."""

    async def aclose(self) -> None:
        """Nothing to close."""


async def timed(judge: Judge, solutions: Sequence[Solution], votes: int) -> tuple[float, int]:
    """Seconds, and tokens generated."""
    tokens = 0

    def count(vote: Vote) -> None:
        nonlocal tokens
        tokens += sum(step.tokens for step in vote.steps)

    started = time.perf_counter()
    async for _ in verify_many(solutions, judge, votes=votes, on_vote=count):
        pass
    return time.perf_counter() - started, tokens


def processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def measure(options: argparse.Namespace) -> dict[str, float]:
    solutions = world.test_set(options.solutions, seed=20260)
    engine = Recording(resources.model(options.model), max_batch=options.max_batch)
    sandbox = LocalSandbox(max_sessions=options.max_batch)
    await sandbox.start()
    judge = Judge(engine, sandbox, Settings(), SAMPLING)
    await timed(judge, solutions[:2], 2)  # everything is warm from here on
    before = processor_seconds()
    await sandbox.aclose()
    warming = processor_seconds() - before

    sandbox = LocalSandbox(max_sessions=options.max_batch)
    await sandbox.start()
    judge = Judge(engine, sandbox, Settings(), SAMPLING)
    await engine.forget()
    seconds, tokens = await timed(judge, solutions, options.votes)
    asked = list(engine.asked)
    before = processor_seconds()
    await sandbox.aclose()
    code = processor_seconds() - before

    await engine.forget()
    started = time.perf_counter()
    await engine.flat(asked)
    flat = time.perf_counter() - started

    await engine.forget()
    slow: Sandbox = InProcess()  # type: ignore[assignment]
    alone = Judge(engine, slow, Settings(), SAMPLING, concurrency=1)
    slow_seconds, slow_tokens = await timed(alone, solutions[: options.baseline], options.votes)
    await engine.aclose()
    return {
        "seconds": seconds, "tokens": tokens, "requests": len(asked), "code_seconds": code, "start_seconds": warming,
        "flat_seconds": flat, "baseline_seconds": slow_seconds, "baseline_tokens": slow_tokens,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--solutions", type=int, default=64)
    parser.add_argument("--votes", type=int, default=8)
    parser.add_argument("--baseline", type=int, default=8)
    parser.add_argument("--max-batch", type=int, default=256)
    parser.add_argument("--model", default="genprm-tiny")
    parser.add_argument("--out", type=Path, default=Path("runs/vllm-speed"))
    options = parser.parse_args()
    found = asyncio.run(measure(options))
    cores = os.cpu_count() or 1
    limit = found["flat_seconds"] + found["code_seconds"] / cores
    speed = found["tokens"] / found["seconds"], found["baseline_tokens"] / found["baseline_seconds"]
    pace = options.solutions / found["seconds"], options.baseline / found["baseline_seconds"]
    figures = {
        **found, "over_baseline_tokens": speed[0] / speed[1], "over_baseline_solutions": pace[0] / pace[1],
        "over_limit": found["seconds"] / limit,
    }  # fmt: skip
    rows = [
        ["as genprm runs it", f"{found['seconds']:.1f}", f"{speed[0]:,.0f}", f"{pace[0]:.2f}", ""],
        ["one request at a time", f"{found['baseline_seconds']:.1f}", f"{speed[1]:,.0f}", f"{pace[1]:.3f}",
         f"{figures['over_baseline_tokens']:.1f} and {figures['over_baseline_solutions']:.1f} times"],
        ["one flat batch, and code", f"{limit:.1f}", "", "", f"{figures['over_limit']:.2f} times its time"],
    ]  # fmt: skip
    note = (
        f"{options.solutions} solutions, {options.votes} votes ({options.baseline} solutions one at a time); "
        f"{found['requests']:.0f} requests; code took {found['code_seconds']:.1f} processor seconds on {cores} cores."
    )
    columns = ["how", "seconds", "tokens/s", "solutions/s", "genprm against it"]
    finish(options.out, [table("Votes on vLLM", columns, rows, note)], figures)


if __name__ == "__main__":
    main()
