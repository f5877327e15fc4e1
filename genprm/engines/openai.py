"""The openai engine: any server that speaks OpenAI's completions API, such as ``vllm serve`` or SGLang's.

The server must take prompts as token ids and tell log-probabilities of tokens; servers of vLLM and SGLang do. Its
sampler is its own: a seed gives the same text on the same server and version only. The tokenizer is loaded here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genprm.engines import loading
from genprm.engines.base import GenerationRequest
from genprm.engines.relay import RelayEngine, folded_seed
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import EngineUnavailable, InputError, MissingDependency

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_URL = "http://127.0.0.1:8000/v1"
FIRST_ANSWER_S = 10.0


class OpenAIEngine(RelayEngine):
    """Asks the server at ``base_url`` (default: ``OPENAI_BASE_URL``, else port 8000 of this machine).

    ``model`` is a folder or hub name, whose tokenizer is loaded; the server must serve that model, as ``served_name``
    or, without one, as its only model. ``context_length``: taken from the server where it tells it. A request that
    fails by 429, 5xx, a timeout or a broken connection is sent again, ``retries`` times with growing waits of at most
    8 seconds: the default outlasts the restart of a server. Each try may take ``timeout_s``. Other refusals are not
    repeated. ``max_batch``: most requests of a run at once.

    Raises ``EngineUnavailable`` if no server answers, ``InputError`` if it does not serve the model.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        served_name: str | None = None,
        context_length: int | None = None,
        retries: int = 25,
        timeout_s: float = 600.0,
        max_batch: int = 256,
    ) -> None:
        if max_batch < 1 or retries < 0 or timeout_s <= 0:
            raise InputError(
                f"max_batch is {max_batch}, retries {retries}, timeout_s {timeout_s}; they must be at least 1, 0 and "
                "more than 0"
            )
        try:
            import openai
        except ImportError as error:
            raise MissingDependency("openai", "openai") from error
        self._openai = openai
        self._url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        self._options: dict[str, Any] = {
            "base_url": self._url,
            "api_key": api_key or os.environ.get("OPENAI_API_KEY") or "none",
            "max_retries": retries,
            "timeout": timeout_s,
        }
        self._client: AsyncOpenAI | None = None
        served = self._find(served_name)
        self._name = str(served["id"])
        tokenizer = HFTokenizer(loading.load_tokenizer(model))
        super().__init__(
            tokenizer,
            identity={"engine": "openai", "model": model, "revision": self._name, "dtype": "unknown"},
            context_length=_context_length(context_length, served),
            eos=loading.eos_ids(model, tokenizer.hf, None),
            max_batch=max_batch,
        )

    async def _draw(self, request: GenerationRequest, limit: int) -> Sequence[int]:
        drawn = request.sampling
        choice = await self._ask(
            request.prompt, limit, drawn.temperature, top_p=drawn.top_p, seed=folded_seed(request.seed),
            stop=[stop for stop in request.stop if stop] or None,
            extra_body={
                "top_k": drawn.top_k or -1, "include_stop_str_in_output": True, "no_stop_trim": True,
                "return_token_ids": True, "spaces_between_special_tokens": False,
            },
        )  # fmt: skip
        ids: Sequence[int] | None = getattr(choice, "token_ids", None)
        # A server that tells text alone: other tokens may spell it than those that it drew.
        return self._tokenizer.encode(choice.text)[:limit] if ids is None else ids

    async def _following(self, prompt: tuple[int, ...], tokens: Sequence[int]) -> Mapping[int, float]:
        """The log-probability of each token, had from a choice of that token alone: raw, whatever was allowed."""
        answers = await asyncio.gather(
            *(self._ask(prompt, 1, 0.0, logprobs=1, extra_body={"allowed_token_ids": [token]}) for token in tokens)
        )
        return {token: float(answer.logprobs.token_logprobs[0]) for token, answer in zip(tokens, answers, strict=True)}

    async def _ask(self, prompt: Sequence[int], limit: int, temperature: float, **more: Any) -> Any:
        if self._client is None:
            self._client = self._openai.AsyncOpenAI(**self._options)
        try:
            answer = await self._client.completions.create(
                model=self._name, prompt=list(prompt), max_tokens=limit, temperature=temperature, **more
            )
        except self._openai.OpenAIError as error:
            raise self._unavailable(error) from error
        if not answer.choices:
            raise EngineUnavailable(f"the server at {self._url} answered without a completion")
        return answer.choices[0]

    async def _shut(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _find(self, served_name: str | None) -> Mapping[str, Any]:
        """The server's own entry of the model."""
        try:
            with self._openai.OpenAI(**{**self._options, "timeout": FIRST_ANSWER_S, "max_retries": 1}) as client:
                served = [one.model_dump() for one in client.models.list()]
        except self._openai.OpenAIError as error:
            raise self._unavailable(error) from error
        names = [str(one["id"]) for one in served]
        if served_name is None and len(served) == 1:
            return served[0]
        if served_name not in names:
            asked = "has no name given to choose by" if served_name is None else f"is not '{served_name}'"
            raise InputError(
                f"the server at {self._url} serves {', '.join(names) or 'no model'}, and the model {asked}; "
                "give the engine option served_name"
            )
        return served[names.index(served_name)]

    def _unavailable(self, error: Exception) -> EngineUnavailable:
        if isinstance(error, self._openai.APIStatusError):
            reason = " ".join(str(error).split())[:300]
            return EngineUnavailable(f"the server at {self._url} answered {error.status_code}: {reason}")
        if isinstance(error, self._openai.APITimeoutError):
            return EngineUnavailable(f"the server at {self._url} does not answer in time; see its log")
        return EngineUnavailable(
            f"no server answers at {self._url}; start one (vllm serve MODEL) or set OPENAI_BASE_URL"
        )


def _context_length(given: int | None, served: Mapping[str, Any]) -> int:
    told = served.get("max_model_len")
    if given is None and not isinstance(told, int):
        raise InputError("the server does not tell the model's context; give the engine option context_length")
    return min(size for size in (given, told) if isinstance(size, int))
