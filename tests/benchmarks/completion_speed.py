"""What reading a shared prompt once is worth: completions of the same prefixes with it and without, in one run.

``python tests/benchmarks/completion_speed.py [--problems 20] [--completions 16] [--batch 256]``

policy-tiny writes ``completions`` solutions of each problem, all asked for at once. Both engines say the same, but for
floating-point noise; the share of equal texts is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import resources
from genprm.engines import GenerationRequest, Sampling, TransformersEngine, attention
from genprm.lab.policy import policy_problem
from genprm.prompts import encode, render_policy


async def complete(problems: int, completions: int, batch: int) -> tuple[float, Sequence[str]]:
    """Generated tokens a second, and the texts."""
    engine = TransformersEngine(resources.model("policy-tiny"), max_batch=batch)
    prompts = [
        encode(render_policy(policy_problem(90_000 + n).text, (), engine.tokenizer), engine.tokenizer).ids
        for n in range(problems)
    ]
    requests = [
        GenerationRequest(prompt, max_tokens=300, seed=1000 * n + k, sampling=Sampling(0.6, 1.0, 0))
        for n, prompt in enumerate(prompts)
        for k in range(completions)
    ]
    async with contextlib.aclosing(engine):
        await engine.generate(requests[0])
        begun = time.perf_counter()
        made = await asyncio.gather(*map(engine.generate, requests))
        seconds = time.perf_counter() - begun
    return sum(len(one.ids) for one in made) / seconds, [one.text for one in made]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--completions", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    sizes = (options.problems, options.completions, options.batch)
    fewest, speeds, said = attention._FEWEST, {True: 0.0, False: 0.0}, {True: [""], False: [""]}
    for together in (True, False, False, True):  # each comes early and late: what warms up helps both
        attention._FEWEST = fewest if together else sys.maxsize
        speed, texts = asyncio.run(complete(*sizes))
        speeds[together] += speed / 2
        said[together] = list(texts)
    same = sum(one == other for one, other in zip(said[True], said[False], strict=True)) / len(said[True])
    figures = {
        "read_together": speeds[True],
        "row_by_row": speeds[False],
        "ratio": speeds[True] / speeds[False],
        "equal_texts": same,
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
