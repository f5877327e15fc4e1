"""What the transformers engine keeps for each call: the tokens still to feed and what to do with the logits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genprm.engines.base import Completion, GenerationRequest, StopReason
from genprm.engines.stops import TextTail

if TYPE_CHECKING:
    import torch


class Task:
    """One call in the batch. ``position`` tokens of it are computed, ``pending`` more are to be fed.

    Tasks of one ``family`` have the same prompt.
    """

    __slots__ = ("_tokens", "cancelled", "family", "future", "position", "prompt", "result", "slot")

    def __init__(self, prompt: Sequence[int]) -> None:
        self.prompt = np.fromiter(prompt, dtype=np.int64, count=len(prompt))
        self._tokens = list(prompt)
        self.slot = -1
        self.family = 0
        self.position = 0
        self.cancelled = False
        self.future: asyncio.Future[Any] | None = None
        self.result: Any = None

    @property
    def pending(self) -> int:
        return len(self._tokens) - self.position

    def feed(self, count: int) -> tuple[list[int], int]:
        """The next ``count`` tokens, and at how many of the last ones logits are wanted."""
        start = self.position
        self.position += count
        return self._tokens[start : self.position], self._wanted(count)

    def _wanted(self, count: int) -> int:
        return 1 if self.position == len(self._tokens) else 0

    def succeed(self) -> None:
        self._resolve(self.result, None)

    def fail(self, error: Exception) -> None:
        self._resolve(None, error)

    def _resolve(self, result: Any, error: Exception | None) -> None:
        if self.future is None:
            return
        loop = self.future.get_loop()
        # A loop that was closed meanwhile has nobody left to tell.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, self.future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class GenerateTask(Task):
    """Feeds its prompt, then every token it draws, until something stops it."""

    __slots__ = ("_eos", "_limit", "_max_tokens", "_stop_reason", "_tail", "ids", "sampling", "uniforms")

    def __init__(
        self,
        request: GenerationRequest,
        decode: Callable[[Sequence[int]], str],
        eos: frozenset[int],
        context_length: int,
    ) -> None:
        super().__init__(request.prompt)
        self.sampling = request.sampling
        # Python's own generator takes all bits of the seed (torch's takes 32) and is the same on every device.
        self.uniforms = random.Random(request.seed)
        self.ids: list[int] = []
        self._eos = eos
        self._max_tokens = request.max_tokens
        self._limit = min(request.max_tokens, context_length - len(request.prompt))
        self._tail = TextTail(decode, request.stop)

    def push(self, token: int) -> bool:
        """Take the token drawn; true when the completion is done and in ``result``."""
        if token in self._eos:
            return self._finish(self._tail.text(), "eos")
        self.ids.append(token)
        self._tokens.append(token)
        cut = self._tail.push(token)
        if cut is not None:
            return self._finish(cut, "stop")
        if len(self.ids) >= self._limit:
            return self._finish(self._tail.text(), "length" if self._limit == self._max_tokens else "context")
        return False

    def _finish(self, text: str, reason: StopReason) -> bool:
        self.result = Completion(text, tuple(self.ids), len(self.prompt), reason)
        return True


class ScoreTask(Task):
    """Feeds its prompt, then each option of several tokens from the prompt's end again."""

    __slots__ = ("_options", "_scores", "_todo")

    def __init__(self, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> None:
        super().__init__(prompt)
        self._options = [list(option) for option in options]
        self._scores = [0.0] * len(options)
        self._todo: list[int] = [-1, *(number for number, option in enumerate(options) if len(option) > 1)]
        """Passes left: -1 the prompt, whose end scores every option's first token; then the longer options."""

    def _wanted(self, count: int) -> int:
        return super()._wanted(count) if self._todo[0] < 0 else count

    def read(self, logits: torch.Tensor) -> bool:
        """Take the logits wanted; true when all options are scored and in ``result``."""
        import torch

        logprobs = logits.log_softmax(-1)
        current = self._todo[0]
        if current < 0:
            for number, option in enumerate(self._options):
                if option:
                    self._scores[number] = float(logprobs[-1, option[0]])
        else:
            done = self.position - len(self.prompt) - len(logprobs)
            following = self._options[current][done + 1 : done + 1 + len(logprobs)]
            places = torch.tensor(following, device=logprobs.device).unsqueeze(1)
            self._scores[current] += float(logprobs.gather(1, places).sum())
        if self.pending:
            return False
        return self._next_pass()

    def _next_pass(self) -> bool:
        self._todo.pop(0)
        self.result = tuple(self._scores)
        if not self._todo:
            return True
        self.position = len(self.prompt)
        self._tokens = [*self.prompt.tolist(), *self._options[self._todo[0]][:-1]]
        return False
