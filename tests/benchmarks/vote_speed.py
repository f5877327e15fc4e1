"""How much of the model's speed reaches the votes: useful tokens a second of concurrent votes, over ``generate``.

``python tests/benchmarks/vote_speed.py [--model DIR] [--votes 64] [--rounds 3]``

``--votes`` votes in code mode on micro-world solutions are in flight at any time, code executed, judgements read out,
until three times as many are done; the end, when few are left, counts too. Useful tokens are those that the model
generated. ``model.generate`` then runs as many rows with the end-of-sequence token off, each
with as many new tokens as a vote generated on average behind a prompt that makes its length that of an average vote's
dialogue: one batch, no stops, no seeds, nothing spliced. It has a process of its own each time, so that neither side
inherits the other's threads or memory. Time spent in code is what the sandbox reports for the cells.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import aclosing
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import resources
from genprm.engines import Completion, GenerationRequest, Sampling, Tokenizer, TransformersEngine
from genprm.execution import ExecutionResult, LocalSandbox, Session
from genprm.lab.world import test_set
from genprm.rationale.settings import Settings
from genprm.verify.votes import Judge, run_vote
from tests.benchmarks.engine_speed import time_generate


class Counting:
    """An engine that counts what passes through it."""

    def __init__(self, engine: TransformersEngine) -> None:
        self._engine = engine
        self.generated = 0
        self.longest: dict[int, int] = {}
        """Length of each vote's dialogue so far, by the task that runs it."""

    @property
    def tokenizer(self) -> Tokenizer:
        return self._engine.tokenizer

    @property
    def context_length(self) -> int:
        return self._engine.context_length

    @property
    def identity(self) -> Mapping[str, str]:
        return self._engine.identity

    async def generate(self, request: GenerationRequest) -> Completion:
        done = await self._engine.generate(request)
        self.generated += len(done.ids)
        self.longest[id(asyncio.current_task())] = len(request.prompt) + len(done.ids)
        return done

    async def score(self, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> tuple[float, ...]:
        return await self._engine.score(prompt, options)

    async def aclose(self) -> None:
        await self._engine.aclose()


class TimedSession:
    """A session that adds the duration of its cells to a list."""

    def __init__(self, session: Session, durations: list[float]) -> None:
        self._session = session
        self._durations = durations

    async def run(self, source: str, *, timeout_s: float | None = None) -> ExecutionResult:
        result = await self._session.run(source, timeout_s=timeout_s)
        self._durations.append(result.duration_s)
        return result

    async def aclose(self) -> None:
        await self._session.aclose()


class TimedSandbox(LocalSandbox):
    """The local sandbox, its cells timed."""

    durations: list[float]

    def session(self) -> Session:
        return TimedSession(super().session(), self.durations)


async def time_votes(engine: TransformersEngine, votes: int, seed: int) -> tuple[float, int, float, float]:
    """Seconds for three times ``votes`` votes, tokens generated, mean length of a dialogue, seconds in cells."""
    counting = Counting(engine)
    sandbox = TimedSandbox(max_sessions=votes)
    sandbox.durations = []
    async with aclosing(sandbox), aclosing(sandbox.session()) as warm:
        await warm.run("1")
        judge = Judge(counting, sandbox, Settings(mode="code"), Sampling(), seed)
        total, room = 3 * votes, asyncio.Semaphore(votes)
        solutions = test_set(-(-total // 4), seed)

        async def one(index: int) -> None:
            async with room:
                await run_vote(solutions[index // 4], index % 4, judge)

        start = time.perf_counter()
        await asyncio.gather(*(asyncio.create_task(one(index)) for index in range(total)))
        seconds = time.perf_counter() - start
    lengths = list(counting.longest.values())
    return seconds, counting.generated, sum(lengths) / len(lengths), sum(sandbox.durations)


async def measure(model: str, votes: int, rounds: int) -> dict[str, float]:
    """Both, taking turns."""
    ours, theirs, code = [], [], []
    new = length = 0.0
    for number in range(rounds):
        engine = TransformersEngine(model, max_batch=votes, device="cpu")
        async with aclosing(engine):
            await engine.generate(GenerationRequest((1, 2, 3), max_tokens=4))
            seconds, useful, length, cells = await time_votes(engine, votes, seed=number)
        ours.append(useful / seconds)
        code.append(cells / seconds)
        new = useful / (3 * votes)
        rows = round(new)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            timed = apart.submit(time_generate, model, votes, round(length) - rows, rows, 3000)
            theirs.append(votes * rows / timed.result())
    return {
        "votes": votes,
        "useful_tokens_per_s": max(ours),
        "generate_tokens_per_s": max(theirs),
        "ratio": max(ours) / max(theirs),
        "new_tokens_per_vote": new,
        "dialogue_length": length,
        "cell_seconds_per_second": sum(code) / len(code),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="genprm-tiny")
    parser.add_argument("--votes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="each side is timed this often; its best counts")
    options = parser.parse_args()
    figures = asyncio.run(measure(resources.model(options.model), options.votes, options.rounds))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
