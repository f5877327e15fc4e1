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
LARGEST_ID = 1 << 31
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
        ids = getattr(choice, "token_ids", None)
        if ids is None and isinstance(getattr(choice, "text", None), str):
            # A server that tells text alone: other tokens may spell it than those that it drew.
            return self._tokenizer.encode(choice.text)[:limit]
        # Models may draw from rows behind their tokenizer's last token, which spell nothing.
        if not isinstance(ids, list) or not all(type(token) is int and 0 <= token < LARGEST_ID for token in ids):
            raise self._no_completion("something that is no list of tokens")
        if len(ids) > limit:
            raise self._no_completion(f"{len(ids)} tokens where at most {limit} were asked for")
        return ids

    async def _following(self, prompt: tuple[int, ...], tokens: Sequence[int]) -> Mapping[int, float]:
        """The log-probability of each token, had from a choice of that token alone: raw, whatever was allowed."""
        answers = await asyncio.gather(
            *(self._ask(prompt, 1, 0.0, logprobs=1, extra_body={"allowed_token_ids": [token]}) for token in tokens)
        )
        return {token: self._logprob(token, answer) for token, answer in zip(tokens, answers, strict=True)}

    def _logprob(self, token: int, choice: Any) -> float:
        """Of the one token that was allowed; a server that chose another did not heed what it was asked."""
        told = getattr(choice, "token_ids", None)
        chosen = told[0] if isinstance(told, list) and len(told) == 1 else None
        try:
            text, value = choice.logprobs.tokens[0], float(choice.logprobs.token_logprobs[0])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._no_completion("no log-probability of the token that it chose") from error
        if chosen != token and (chosen is not None or text not in self._names(token)):
            raise EngineUnavailable(
                f"the server at {self._url} does not heed allowed_token_ids, so probabilities cannot be read from it; "
                "use another server, such as vllm serve"
            )
        return value

    def _names(self, token: int) -> tuple[str, ...]:
        """What a server may call a token."""
        return (
            self._tokenizer.decode([token]),
            f"token_id:{token}",
            str(self._tokenizer.hf.convert_ids_to_tokens(token)),
        )

    async def _ask(self, prompt: Sequence[int], limit: int, temperature: float, **more: Any) -> Any:
        if self._client is None:
            self._client = self._openai.AsyncOpenAI(**self._options)
        try:
            answer = await self._client.completions.create(
                model=self._name, prompt=list(prompt), max_tokens=limit, temperature=temperature, **more
            )
        except self._openai.OpenAIError as error:
            raise self._unavailable(error) from error
        except ValueError as error:  # an answer that is no JSON
            raise self._no_completion("no JSON") from error
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list) or not choices or isinstance(choices[0], str | int | None):
            raise self._no_completion("no completion")
        return choices[0]

    async def _shut(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _find(self, served_name: str | None) -> Mapping[str, Any]:
        """The server's own entry of the model."""
        try:
            with self._openai.OpenAI(**{**self._options, "timeout": FIRST_ANSWER_S, "max_retries": 1}) as client:
                served = [one.model_dump() for one in client.models.list()]
                names = [str(one["id"]) for one in served]
        except self._openai.OpenAIError as error:
            raise self._unavailable(error) from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._no_completion("no list of models; base_url usually ends in /v1") from error
        if served_name is None and len(served) == 1:
            return served[0]
        if served_name not in names:
            asked = "has no name given to choose by" if served_name is None else f"is not '{served_name}'"
            raise InputError(
                f"the server at {self._url} serves {', '.join(names) or 'no model'}, and the model {asked}; "
                "give the engine option served_name"
            )
        return served[names.index(served_name)]

    def _no_completion(self, what: str) -> EngineUnavailable:
        return EngineUnavailable(f"the server at {self._url} answered with {what}; see its log")

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
    sizes = [size for size in (given, told) if type(size) is int and size > 0]
    if not sizes:
        raise InputError("the server does not tell the model's context; give the engine option context_length")
    return min(sizes)
