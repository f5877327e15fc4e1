"""Rollouts by a real model, tiny and random, through the transformers engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genprm import prompts
from genprm.engines import GenerationRequest, TransformersEngine
from genprm.records import read_rollouts
from genprm.rollout import Amounts, Budget, Given, Plan, Roller, Settings
from genprm.rollout.styles import prefix
from genprm.types import Problem, Solution
from tests.engines.models import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("llama"), context=512, seed=3)


TASK = Problem("p", "Tom has 12 apples and buys 5 more.", "17")
SOLUTION = Solution(TASK.problem, ("He has 12.", "12 + 5 = 17.", "\\boxed{17}"), "s", "p", answer="17")


class Recording(TransformersEngine):
    """Remembers what it was asked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[GenerationRequest] = []

    async def generate(self, request: GenerationRequest) -> Any:
        self.asked.append(request)
        return await super().generate(request)


def test_completions_go_on_from_the_ids_of_template_and_prefix(folder: Path, tmp_path: Path) -> None:
    engine = Recording(str(folder), max_batch=8, kv_gigabytes=0.1)
    settings = Settings(max_tokens=12)
    roller = Roller("tiny", engine=engine, plan=Plan(Budget(), Amounts.fixed(4)), settings=settings)
    roller.run(Given((TASK,), (SOLUTION,)), tmp_path)
    asked = {request.prompt for request in engine.asked}
    wanted = [
        prompts.encode(
            prompts.render_policy(TASK.problem, prefix("step-forced", SOLUTION.steps[:count]), engine.tokenizer),
            engine.tokenizer,
        ).ids
        for count in range(3)
    ]
    assert asked == set(wanted) and len(engine.asked) == 12
    assert wanted[2][: len(wanted[1])] == wanted[1] and len({request.seed for request in engine.asked}) == 12
    found = {(one.step, one.total, one.tokens <= 48) for one in read_rollouts(tmp_path / "rollouts.jsonl")}
    assert found == {(-1, 4, True), (0, 4, True), (1, 4, True), (2, 1, True)}


def test_a_model_samples_the_same_whatever_the_batch(folder: Path, tmp_path: Path) -> None:
    plan = Plan(Budget(initial=6, batch=1, most=6, keep=2, difficulties=("easy", "medium", "hard")), Amounts.fixed(3))
    texts = []
    for batch in (1, 6):
        roller = Roller(
            str(folder), engine="transformers", plan=plan, settings=Settings("trajectory", max_tokens=16),
            engine_options={"max_batch": batch, "kv_gigabytes": 0.1},
        )  # fmt: skip
        summary = roller.run(Given((TASK,)), tmp_path / str(batch))
        samples = (tmp_path / str(batch) / "samples.jsonl").read_text().splitlines()
        texts.append(sorted((json.loads(line) for line in samples), key=lambda sample: sample["index"]))
        assert summary.metrics["samples"]["tokens"] > 0
    assert texts[0] == texts[1] and len(texts[0]) == 6
