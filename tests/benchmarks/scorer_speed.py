"""How fast discriminative scoring is: one pass over a solution against one pass for every prefix, in one run.

``python tests/benchmarks/scorer_speed.py [--model DIR] [--solutions 32] [--steps 8] [--words 40]``

Both read the same model in the same batches; the second is given every prefix of a solution as a solution of its own,
as published evaluation code does it. The third way extends step by step and reuses keys and values, as a search does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.scorers.discriminative import TokenScorer
from genprm.types import Solution
from tests.engines.models import save_model


@dataclass(frozen=True, slots=True)
class Speed:
    """Steps a second of each way."""

    one_pass: float
    every_prefix: float
    extended: float

    @property
    def ratio(self) -> float:
        """How many times faster one pass is."""
        return self.one_pass / self.every_prefix


def made(count: int, steps: int, words: int) -> list[Solution]:
    """Solutions of mixed lengths; always the same."""
    dice = random.Random(0)

    def text(about: int) -> str:
        return " ".join(str(dice.randrange(1000)) for _ in range(dice.randint(about // 2, about * 3 // 2)))

    return [Solution(text(words), tuple(text(words) for _ in range(steps))) for _ in range(count)]


async def measure(scorer: TokenScorer, solutions: Sequence[Solution]) -> Speed:
    """Every way once, after a first call that nothing is timed of."""
    await scorer.score(solutions[:2])
    steps = sum(len(one.steps) for one in solutions)
    prefixes = [replace(one, steps=one.steps[:end]) for one in solutions for end in range(1, len(one.steps) + 1)]
    begun = time.perf_counter()
    whole = await scorer.score(solutions)
    one_pass = time.perf_counter() - begun
    begun = time.perf_counter()
    apart = await scorer.score(prefixes)
    every_prefix = time.perf_counter() - begun
    last = iter(apart)
    for one in whole:
        for reward in one.rewards:
            assert abs((reward or 0) - (next(last).rewards[-1] or 0)) < 1e-4
    begun = time.perf_counter()
    for one in solutions:
        state = scorer.begin(one.problem)
        for step in one.steps:
            state, _ = await scorer.extend(state, step)
    extended = time.perf_counter() - begun
    return Speed(steps / one_pass, steps / every_prefix, steps / extended)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", help="a token model's folder; default: a random one of 4 layers")
    parser.add_argument("--solutions", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="of each solution")
    parser.add_argument("--words", type=int, default=40, help="of a step, in the mean")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(save_model(Path(folder), hidden=128, layers=4, context=8192))
        speed = asyncio.run(measure(TokenScorer(model), made(options.solutions, options.steps, options.words)))
    print(
        f"one pass {speed.one_pass:,.0f} steps/s, a pass for every prefix {speed.every_prefix:,.0f} steps/s, "
        f"extending {speed.extended:,.0f} steps/s"
    )
    print(json.dumps({"ratio": round(speed.ratio, 2), "steps": options.steps, "solutions": options.solutions}))


if __name__ == "__main__":
    main()
