"""What the vllm and openai engines share: the part of an engine that does not depend on who runs the model."""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from genprm.engines.base import Completion, GenerationRequest, StopReason, Tokenizer
from genprm.engines.sampling import check
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import EngineUnavailable, InputError

Result = TypeVar("Result")
NextTokens = Callable[[tuple[int, ...], Sequence[int]], Awaitable[Mapping[int, float]]]
"""The log-probabilities of some tokens after a prompt."""


class RelayEngine(ABC):
    """An engine that hands requests on to another program, which batches them.

    What is the same for all of them is here: limits, completions, scores, and calls that end with the engine. A
    subclass says how tokens are asked for, how probabilities are, and how to shut down.
    """

    def __init__(
        self,
        tokenizer: HFTokenizer,
        *,
        identity: Mapping[str, str],
        context_length: int,
        eos: frozenset[int],
        max_batch: int,
    ) -> None:
        self.max_batch = max_batch
        """Most requests of a run at once."""
        self._tokenizer = tokenizer
        self._identity = dict(identity)
        self._context_length = context_length
        self._eos = eos
        self._calls: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def tokenizer(self) -> HFTokenizer:
        return self._tokenizer

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def identity(self) -> Mapping[str, str]:
        return dict(self._identity)

    async def generate(self, request: GenerationRequest) -> Completion:
        check(request.sampling)
        self._check_open()
        limit = room(request, self._context_length)
        if isinstance(limit, Completion):
            return limit
        ids = await self._run(self._draw(request, limit))
        return completion(request, ids, limit, self._tokenizer, self._eos)

    async def score(self, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> tuple[float, ...]:
        self._check_open()

        async def following(before: tuple[int, ...], tokens: Sequence[int]) -> Mapping[int, float]:
            return await self._run(self._following(before, tokens))

        return await score_options(prompt, options, self._context_length, following)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._shut()

    @abstractmethod
    async def _draw(self, request: GenerationRequest, limit: int) -> Sequence[int]:
        """At most ``limit`` tokens after the prompt, an end-of-sequence token included if it was drawn."""

    @abstractmethod
    async def _following(self, prompt: tuple[int, ...], tokens: Sequence[int]) -> Mapping[int, float]:
        """The raw log-probability of each of ``tokens`` after ``prompt``."""

    @abstractmethod
    async def _shut(self) -> None:
        """Free everything; called once, when no call is left."""

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"the {self._identity['engine']} engine is closed; open a new one")

    async def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of ``work``; ``EngineUnavailable`` if the engine is closed meanwhile."""
        call = asyncio.ensure_future(work)
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            self._check_open()
            raise
        finally:
            self._calls.discard(call)


def folded_seed(seed: int) -> int:
    """The seed as what servers take: 63 bits. Smaller ones stay as they are."""
    if 0 <= seed < 1 << 63:
        return seed
    return int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest()) >> 1


def room(request: GenerationRequest, context_length: int) -> Completion | int:
    """How many tokens may be generated, or the completion of a request that leaves room for none."""
    prompt_tokens = len(request.prompt)
    if prompt_tokens == 0:
        raise InputError("an empty prompt cannot be continued; give at least one token")
    if prompt_tokens >= context_length:
        return Completion("", (), prompt_tokens, "context")
    if request.max_tokens < 1:
        return Completion("", (), prompt_tokens, "length")
    return min(request.max_tokens, context_length - prompt_tokens)


def completion(
    request: GenerationRequest, ids: Sequence[int], limit: int, tokenizer: Tokenizer, eos: frozenset[int]
) -> Completion:
    """The completion of these tokens, whose text is ours to make: servers differ in what they do to spaces."""
    ended = bool(ids) and ids[-1] in eos
    kept = tuple(ids[:-1] if ended else ids)
    text = tokenizer.decode(kept)
    places = [(text.find(stop), stop) for stop in request.stop if stop]
    ends = [place + len(stop) for place, stop in places if place >= 0]
    reason: StopReason = "length" if limit == request.max_tokens else "context"
    if ends:
        return Completion(text[: min(ends)], kept, len(request.prompt), "stop")
    return Completion(text, kept, len(request.prompt), "eos" if ended else reason)


async def score_options(
    prompt: Sequence[int], options: Sequence[Sequence[int]], context_length: int, following: NextTokens
) -> tuple[float, ...]:
    """Log-probability of each option, token by token: options that begin alike share their questions."""
    longest = max((len(option) for option in options), default=0)
    if longest and len(prompt) + longest > context_length:
        raise InputError(
            f"a prompt of {len(prompt)} tokens and an option of {longest} do not fit the context of "
            f"{context_length} tokens; shorten the history"
        )
    wanted: dict[tuple[int, ...], set[int]] = {}
    for option in options:
        for place, token in enumerate(option):
            wanted.setdefault(tuple(option[:place]), set()).add(token)
    asked = [(before, sorted(tokens)) for before, tokens in wanted.items()]
    answers = await asyncio.gather(*(following((*prompt, *before), tokens) for before, tokens in asked))
    found = {before: answer for (before, _), answer in zip(asked, answers, strict=True)}
    return tuple(
        sum((found[tuple(option[:place])][token] for place, token in enumerate(option)), 0.0) for option in options
    )
