"""How fast the transformers engine is, against the library's own ``generate``, in one run on this machine.

``python tests/benchmarks/engine_speed.py [--model DIR] [--rows 64] [--tokens 128] [--turns 3]``

The engine serves ``rows`` concurrent dialogues of mixed lengths: every dialogue generates, gets some text appended (as
printed code output would be) and generates again. ``model.generate`` runs as many rows of the same mean prompt length
and the same mean number of new tokens with the end-of-sequence token off, which is the best case for it: no padding,
no stop strings, no seeds, one batch. Useful tokens are those that a request returns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.engines import GenerationRequest, Sampling, TransformersEngine
from tests.engines.models import save_model


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Token ids of a first prompt, the new tokens of each turn, and what is appended between turns."""

    prompt: tuple[int, ...]
    turns: tuple[int, ...]
    appended: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """Useful tokens per second of both, and their ratio."""

    engine: float
    generate: float
    ratio: float
    rows: int
    mean_prompt: float
    mean_new: float


def make_dialogues(rows: int, prompt: tuple[int, int], tokens: int, turns: int, vocabulary: int) -> list[Dialogue]:
    """``rows`` dialogues with prompts of mixed lengths and about ``tokens`` new tokens a turn; always the same."""
    dice = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(dice.randrange(3, vocabulary) for _ in range(count))

    return [
        Dialogue(
            prompt=ids(dice.randint(*prompt)),
            turns=tuple(dice.randint(tokens // 2, tokens * 3 // 2) for _ in range(turns)),
            appended=tuple(ids(dice.randint(20, 60)) for _ in range(turns - 1)),
        )
        for _ in range(rows)
    ]


async def time_engine(engine: TransformersEngine, dialogues: Sequence[Dialogue]) -> tuple[float, int, float]:
    """Seconds for all dialogues at once, useful tokens, and mean prompt length over all requests."""
    prompts: list[int] = []

    async def run(number: int, dialogue: Dialogue) -> int:
        history, useful = dialogue.prompt, 0
        for turn, new in enumerate(dialogue.turns):
            request = GenerationRequest(history, stop=("</verify>", "```output"), max_tokens=new, seed=number)
            completion = await engine.generate(request)
            prompts.append(len(history))
            useful += len(completion.ids)
            history += completion.ids + (dialogue.appended[turn] if turn < len(dialogue.appended) else ())
        return useful

    start = time.perf_counter()
    counts = await asyncio.gather(*(run(number, dialogue) for number, dialogue in enumerate(dialogues)))
    return time.perf_counter() - start, sum(counts), sum(prompts) / len(prompts)


def time_generate(model: str, rows: int, prompt: int, new: int, vocabulary: int) -> float:
    """Seconds for ``model.generate`` on ``rows`` rows of ``prompt`` tokens, ``new`` new tokens each, EOS off."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    network.generation_config.eos_token_id = None
    ids = torch.randint(3, vocabulary, (rows, prompt), generator=torch.Generator().manual_seed(0))
    settings = asdict(Sampling())
    start = time.perf_counter()
    network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        max_new_tokens=new,
        min_new_tokens=new,
        pad_token_id=0,
        **settings,
    )
    return time.perf_counter() - start


async def measure(model: str, rows: int, prompt: tuple[int, int], tokens: int, turns: int) -> Speed:
    """Both, one after the other, in this process."""
    engine = TransformersEngine(model, max_batch=rows, device="cpu")
    engine._eos = frozenset()  # a random model would end anywhere; the lengths are part of the measurement
    dialogues = make_dialogues(rows, prompt, tokens, turns, min(engine._vocabulary, 3000))
    async with contextlib.aclosing(engine):
        await engine.generate(GenerationRequest(dialogues[0].prompt[:9], max_tokens=4))
        seconds, useful, mean_prompt = await time_engine(engine, dialogues)
        statistics = engine.statistics
    mean_new = useful / (rows * turns)
    print(f"engine: {useful} tokens in {seconds:.1f} s; {dict(statistics)}", file=sys.stderr)
    other = time_generate(model, rows, round(mean_prompt), round(mean_new), 3000)
    engine_speed, generate_speed = useful / seconds, rows * round(mean_new) / other
    return Speed(engine_speed, generate_speed, engine_speed / generate_speed, rows, mean_prompt, mean_new)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="a model folder; without it a random one of the shipped model's size")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt", type=int, nargs=2, default=(300, 900), metavar=("LEAST", "MOST"))
    parser.add_argument("--tokens", type=int, default=96, help="mean new tokens a turn")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(
            save_model(Path(folder), vocabulary=3072, hidden=256, layers=6, heads=4, kv_heads=4, context=2048)
        )
        speed = asyncio.run(measure(model, options.rows, tuple(options.prompt), options.tokens, options.turns))
    print(json.dumps({name: round(value, 3) for name, value in asdict(speed).items()}))


if __name__ == "__main__":
    main()
