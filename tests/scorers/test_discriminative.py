"""Discriminative scoring is linear: every token is read once, by scoring and by extending alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from genprm.errors import EngineUnavailable, InputError
from genprm.scorers import Synchronous, open_scorer
from genprm.scorers.discriminative import HeadScorer, TokenScorer
from genprm.scorers.opening import is_discriminative
from genprm.stepformats import MATH_SHEPHERD, write_reading
from genprm.types import Solution
from tests.engines.models import save_model

SOLUTION = Solution("Tom has 12 apples.", tuple(f"He buys {n} more, so {12 + n} = 12 + {n}." for n in range(8)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), seed=7, context=2048)


def counted(scorer: TokenScorer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass of the model is given."""
    network: Any = scorer._open()
    layers, seen = network._model.base_model, []
    passed = layers.forward

    def forward(*args: Any, **options: Any) -> Any:
        seen.append(options["input_ids"].numel())
        return passed(*args, **options)

    monkeypatch.setattr(layers, "forward", forward)
    return seen


def test_scoring_eight_steps_reads_every_token_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = TokenScorer(str(model))
    seen = counted(scorer, monkeypatch)
    asyncio.run(scorer.score([SOLUTION]))
    assert seen == [len(MATH_SHEPHERD.encode(SOLUTION.problem, SOLUTION.steps, scorer._open().tokenizer).ids)]


def test_extending_reads_what_is_new(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = TokenScorer(str(model))
    seen = counted(scorer, monkeypatch)

    async def extend() -> None:
        state = scorer.begin(SOLUTION.problem)
        for step in SOLUTION.steps:
            state, _ = await scorer.extend(state, step)
        await scorer.extend(state, "Another step.")  # a state may be taken up again
        await scorer.extend(state, "Another step.")

    asyncio.run(extend())
    assert sum(seen[:8]) == len(MATH_SHEPHERD.encode(SOLUTION.problem, SOLUTION.steps, scorer._open().tokenizer).ids)
    assert seen[8] == seen[9] < 60


def test_a_folder_says_how_it_is_read(model: Path, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "said", seed=7, context=2048)
    assert not is_discriminative(str(folder)) and is_discriminative(str(folder), "er-prm")
    write_reading(folder, "token", "er-prm")
    with Synchronous(open_scorer(str(folder))) as scorer:
        assert scorer.scorer.identity["format"] == "er-prm"
        assert len(scorer.score([SOLUTION])[0].rewards) == 8
    with pytest.raises(EngineUnavailable, match="is closed"):
        scorer.score([SOLUTION])
    write_reading(folder, "head", "er-prm")
    with pytest.raises(InputError, match="do not go together"):
        open_scorer(str(folder))
    with pytest.raises(InputError, match="has no format 'er-prm'"):
        HeadScorer(str(model), "er-prm")
