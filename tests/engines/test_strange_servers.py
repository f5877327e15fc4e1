"""What a server answers is untrusted: what is no completion is a failure of the server, never a verdict."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from genprm.engines import GenerationRequest
from genprm.engines.openai import OpenAIEngine
from genprm.errors import EngineUnavailable
from tests.engines.fake_server import serving
from tests.engines.models import save_model

pytest.importorskip("openai")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def completion(**choice: Any) -> dict[str, Any]:
    whole = {"index": 0, "text": "a", "finish_reason": "stop", **choice}
    return {"id": "1", "object": "text_completion", "created": 0, "model": "m", "choices": [whole]}


def ask(url: str, folder: Path, *, score: bool = False) -> Any:
    async def main() -> Any:
        engine = OpenAIEngine(str(folder), base_url=url, retries=0, timeout_s=10)
        try:
            if score:
                return await engine.score((1, 2), [(3,), (4,)])
            return await engine.generate(GenerationRequest((1, 2), max_tokens=4, seed=0))
        finally:
            await engine.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>hello</html>", [1, 2], None, {"choices": None}, {"choices": ["x"]}, completion(text=None),
        completion(token_ids=[-1]), completion(token_ids=["x"]),
        completion(token_ids=[2**70]),
        completion(token_ids=[5] * 90),
    ],
)  # fmt: skip
def test_what_is_no_completion_is_the_servers_failure(answer: Any, folder: Path) -> None:
    with serving(answer) as url, pytest.raises(EngineUnavailable, match="answered with"):
        ask(url, folder)


@pytest.mark.parametrize("models", [b"<html>hello</html>", [], {"data": ["x"]}])
def test_what_is_no_list_of_models_is_said(models: Any, folder: Path) -> None:
    with serving(completion(), models) as url, pytest.raises(EngineUnavailable, match="no list of models"):
        ask(url, folder)


@pytest.mark.parametrize(
    "told", [None, {"tokens": [], "token_logprobs": []}, {"tokens": ["a"], "token_logprobs": [None]}]
)
def test_a_score_without_a_probability_is_the_servers_failure(told: Any, folder: Path) -> None:
    with serving(completion(logprobs=told)) as url, pytest.raises(EngineUnavailable, match="no log-probability"):
        ask(url, folder, score=True)


def test_a_server_that_does_not_heed_the_allowed_token_is_refused(folder: Path) -> None:
    """Every option would get the probability of the server's own choice: all rewards 0.5, which is a Yes."""
    own = completion(token_ids=[9], logprobs={"tokens": ["x"], "token_logprobs": [-0.5]})
    with serving(own) as url, pytest.raises(EngineUnavailable, match="does not heed allowed_token_ids"):
        ask(url, folder, score=True)
