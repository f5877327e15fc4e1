"""A verify run on replicas, as a program that tests can kill: ``python -m tests.verify.replicas OUT``."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

from genprm import Solution, Verifier
from genprm.engines import Completion, GenerationRequest, ScriptedEngine
from genprm.runs.ray import RayCluster
from tests.verify import scripts

SOLUTIONS = tuple(
    Solution(f"Problem {n}", (f"{n} + 1 = {n + 1}", f"{n} + 2 = {n + 2 + n % 2}"), id=f"s{n}") for n in range(20)
)


class SlowEngine(ScriptedEngine):
    """Takes its time, as a model does, and judges by its seed."""

    async def generate(self, request: GenerationRequest) -> Completion:
        await asyncio.sleep(random.Random(request.seed).uniform(0, 0.1))
        return await super().generate(request)


def noisy(prompt: str, request: GenerationRequest) -> str:
    if prompt.endswith("$\\boxed"):
        return f"{{{'Yes' if request.seed % 3 else 'No'}}}$\n</output>\n"
    return scripts.write(prompt, request)


def open_engine() -> ScriptedEngine:
    return SlowEngine(noisy, score=scripts.score)


def verifier(ray: RayCluster | None = None, **options: Any) -> Verifier:
    return Verifier(
        **{"engine": open_engine, "mode": "analyze", "votes": 6, "concurrency": 8, "ray": ray} | options  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    with verifier(RayCluster(replicas=2), votes=2000) as running:
        running.verify_to_dir(SOLUTIONS, Path(sys.argv[1]), on_progress=lambda _: os.write(1, b"vote\n"))
