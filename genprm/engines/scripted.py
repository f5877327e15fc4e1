"""An engine without a model: it replays texts. A public double for tests, demonstrations and recorded runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence

from genprm.engines.base import Completion, GenerationRequest, StopReason, Tokenizer
from genprm.engines.stops import TextTail
from genprm.engines.tokenizers import ByteTokenizer
from genprm.errors import EngineUnavailable, InputError

Script = Sequence[str] | Mapping[int, str] | Callable[[str, GenerationRequest], str]
"""What to say: texts in the order of the calls, one text per request seed, or a function of prompt and request."""
Scorer = Callable[[str, tuple[str, ...]], Sequence[float]]
"""Log-probabilities of the option texts after a prompt text."""


class ScriptedEngine:
    """Answers each request with the text that ``script`` gives for it.

    A function or a table by seed answers the same whatever the order of calls; a sequence answers in call order and
    raises ``EngineUnavailable`` once it is used up. Stop strings, ``max_tokens`` and the context are honoured as by
    any engine; a text that ends before them ends with ``eos``. Without ``score``, all options are equally likely.
    Prompt texts are what the tokenizer decodes: control tokens are left out.
    """

    def __init__(
        self,
        script: Script,
        *,
        score: Scorer | None = None,
        tokenizer: Tokenizer | None = None,
        context_length: int = 1 << 20,
        name: str = "scripted",
    ) -> None:
        if isinstance(script, str):
            raise InputError(
                "a script is a sequence of texts, a table by seed or a function, not one text; wrap it in [ ]"
            )
        if context_length < 1:
            raise InputError(f"context_length must be at least 1, not {context_length}")
        self._script = script
        self._score = score
        self._tokenizer: Tokenizer = tokenizer if tokenizer is not None else ByteTokenizer()
        self._context_length = context_length
        self._name = name
        self._calls = 0
        self._closed = False

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def identity(self) -> Mapping[str, str]:
        return {"engine": "scripted", "model": self._name, "revision": "none", "dtype": "none"}

    async def generate(self, request: GenerationRequest) -> Completion:
        self._check_open()
        text = self._next_text(request)
        await asyncio.sleep(0)  # let other tasks run, as a real engine would
        self._check_open()
        return self._complete(text, request)

    async def score(self, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> tuple[float, ...]:
        self._check_open()
        await asyncio.sleep(0)
        self._check_open()
        if self._score is None:
            return tuple(-math.log(len(options)) for _ in options)
        decode = self._tokenizer.decode
        return tuple(self._score(decode(prompt), tuple(decode(option) for option in options)))

    async def aclose(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable("the scripted engine is closed; open a new one")

    def _next_text(self, request: GenerationRequest) -> str:
        number = self._calls
        self._calls += 1
        if callable(self._script):
            return self._script(self._tokenizer.decode(request.prompt), request)
        try:
            return self._script[request.seed if isinstance(self._script, Mapping) else number]
        except KeyError:
            raise EngineUnavailable(f"the script has no text for seed {request.seed}; add one to its table") from None
        except IndexError:
            raise EngineUnavailable(
                f"the script of {len(self._script)} texts is used up; give it a text for every call"
            ) from None

    def _complete(self, text: str, request: GenerationRequest) -> Completion:
        prompt_tokens = len(request.prompt)
        room = self._context_length - prompt_tokens
        limit = max(0, min(request.max_tokens, room))
        ids = self._tokenizer.encode(text)
        tail = TextTail(self._tokenizer.decode, request.stop)
        for count, token in enumerate(ids[:limit], start=1):
            cut = tail.push(token)
            if cut is not None:
                return Completion(cut, ids[:count], prompt_tokens, "stop")
        reason: StopReason = "eos"
        if len(ids) >= limit:
            reason = "length" if room >= request.max_tokens else "context"
        return Completion(tail.text(), ids[:limit], prompt_tokens, reason)
