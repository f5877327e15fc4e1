"""Every engine keeps the engine contract."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from genprm.engines import ByteTokenizer, GenerationRequest, ScriptedEngine, TransformersEngine, contract
from tests.engines.models import save_model

TEXTS = ("Tom has 12 apples.", "Let's verify the step with Python", "The price is 3 dollars, so x = 3 * 4", "print(12)")


def answer(prompt: str, request: GenerationRequest) -> str:
    """A text that depends on the prompt alone."""
    return "The answer to " + hashlib.sha256(prompt.encode()).hexdigest() * 2


def scripted() -> contract.Subject:
    prompts = tuple(ByteTokenizer().encode(text) for text in TEXTS)
    return contract.Subject(open=lambda: ScriptedEngine(answer, context_length=300), prompts=prompts, samples=False)


@cache
def network(folder: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        name: save_model(tmp_path_factory.mktemp(name), architecture=name, seed=seed)
        for name, seed in (("llama", 1), ("qwen2", 2))
    }


def transformers(folder: Path) -> contract.Subject:
    import torch

    def reference(prompt: Sequence[int], option: Sequence[int]) -> float:
        """The whole text through the library's own attention, without any cache."""
        with torch.inference_mode():
            logits = network(str(folder))(input_ids=torch.tensor([[*prompt, *option]])).logits[0]
        places = range(len(prompt) - 1, len(prompt) + len(option) - 1)
        picked = [float(logits[place].log_softmax(-1)[token]) for place, token in zip(places, option, strict=True)]
        return math.fsum(picked)

    def opened() -> TransformersEngine:
        return TransformersEngine(str(folder), max_batch=CROWD_SLOTS, kv_gigabytes=0.1)

    engine = opened()
    prompts = tuple(engine.tokenizer.encode(text) for text in TEXTS)
    asyncio.run(engine.aclose())
    # Ids of the random model's continuations are text, not control tokens: see the seeds of `folders`.
    return contract.Subject(open=opened, prompts=prompts, reference=reference, near_tie=0.04)


CROWD_SLOTS = 12
"""Fewer than the crowd, so that requests wait, join and leave."""


@pytest.mark.parametrize("check", contract.checks_for(scripted()), ids=lambda check: check.__name__)
def test_scripted_engine(check: contract.Check) -> None:
    asyncio.run(check(scripted()))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_transformers_engine(check: contract.Check, architecture: str, folders: dict[str, Path]) -> None:
    asyncio.run(check(transformers(folders[architecture])))
