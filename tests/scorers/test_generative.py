"""The verifier as a scorer: a prefix is extended, never judged again, and its code is there for later steps."""

from __future__ import annotations

import asyncio

import pytest

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.scorers.generative import GenerativeScorer
from tests.verify.scripts import SUMS, output_block, score, write


def counted(calls: list[str]) -> ScriptedEngine:
    def script(prompt: str, request: GenerationRequest) -> str:
        calls.append(prompt)
        return write(prompt, request)

    return ScriptedEngine(script, score=score)


def test_extending_asks_the_model_as_often_as_scoring_and_writes_the_same() -> None:
    async def both(whole: list[str], steps: list[str]) -> None:
        scorer = GenerativeScorer("scripted", votes=2, engine=counted(whole), sandbox="local")
        (scored,) = await scorer.score([SUMS])
        await scorer.aclose()
        scorer = GenerativeScorer("scripted", votes=2, engine=counted(steps), sandbox="local")
        state, rewards = scorer.begin(SUMS.problem), []
        for text in SUMS.steps:
            state, reward = await scorer.extend(state, text)
            rewards.append(reward)
        await scorer.aclose()
        assert tuple(rewards) == scored.steps
        assert [reward.reward for reward in rewards] == pytest.approx([0.947, 0.053, 0.947], abs=1e-3)

    whole: list[str] = []
    steps: list[str] = []
    asyncio.run(both(whole, steps))
    # Prompts hold what was written before, seeds included: the same prompts, each asked once.
    assert sorted(whole) == sorted(steps)


def test_variables_of_earlier_steps_are_there_when_a_vote_goes_on() -> None:
    def script(prompt: str, request: GenerationRequest) -> str:
        if prompt.endswith("step by step: "):
            return "It must hold.\n</analyze>\n"
        if prompt.endswith("```python\n"):
            asked = prompt.rpartition("user\n")[2]
            return "kept = 41\nprint(kept)\n```\n" if "first" in asked else "print(kept + 1)\n```\n"
        return "So it is.\n</verify>\n" + output_block("Yes")

    async def extend() -> list[str]:
        scorer = GenerativeScorer("scripted", votes=1, engine=ScriptedEngine(script, score=score), sandbox="local")
        state = scorer.begin("What is 41 + 1?")
        state, _ = await scorer.extend(state, "first")
        for _ in range(2):  # a state is a value: two steps may be tried behind it
            grown, _ = await scorer.extend(state, "then")
        await scorer.aclose()
        return [verdict.code[0].output for verdict in grown.votes[0].verdicts]

    outputs = asyncio.run(extend())
    assert "41" in outputs[0] and "42" in outputs[1]
