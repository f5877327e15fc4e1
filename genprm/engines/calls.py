"""What engines that hand requests on to others share: calls that end with the engine, completions, scores."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from genprm.engines.base import Completion, GenerationRequest, StopReason, Tokenizer
from genprm.errors import EngineUnavailable, InputError

Result = TypeVar("Result")
NextTokens = Callable[[tuple[int, ...], Sequence[int]], Awaitable[Mapping[int, float]]]
"""The log-probabilities of some tokens after a prompt."""


class Calls:
    """The calls that an engine is answering; closing ends them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def check_open(self) -> None:
        """Raise ``EngineUnavailable`` after ``close``."""
        if self._closed:
            raise EngineUnavailable(f"the {self._name} engine is closed; open a new one")

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of ``work``; ``EngineUnavailable`` if the engine is closed meanwhile."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            self.check_open()
            raise
        finally:
            self._tasks.discard(task)

    async def close(self) -> bool:
        """End all calls. Whether there was something to close."""
        if self._closed:
            return False
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return True


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
