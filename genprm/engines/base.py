"""The engine contract: what runs a model. Engines know token ids and know nothing of rationales.

``genprm.engines.contract`` is the executable form of this contract; every engine passes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

StopReason = Literal["stop", "length", "eos", "context"]
Message = Mapping[str, str]
"""A chat message: ``role`` and ``content``."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Defaults: GenPRM inference (dossier 2.1)."""

    temperature: float = 0.6
    """0 is greedy."""
    top_p: float = 0.95
    top_k: int = 20
    """0 keeps all tokens."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt of token ids to continue."""

    prompt: tuple[int, ...]
    stop: tuple[str, ...] = ()
    """Generation ends once the generated text contains one of these; the stop string is kept in the text."""
    max_tokens: int = 512
    seed: int = 0
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class Completion:
    """The continuation of one prompt.

    ``text`` ends right after the first stop string, without special tokens; ``ids`` are all tokens generated, the
    end-of-sequence token excluded. ``stop_reason``: ``stop`` a stop string; ``eos``; ``length`` max_tokens reached;
    ``context`` the model's context is full (with no ids at all when the prompt alone fills it).
    """

    text: str
    ids: tuple[int, ...]
    prompt_tokens: int
    stop_reason: StopReason


class Tokenizer(Protocol):
    """What prompts need of a tokenizer."""

    def encode(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        """Token ids of ``text`` alone: nothing is added. With ``special`` off, no text becomes a special token."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``, special tokens left out, spaces untouched."""

    def render_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The model's chat template over ``messages``, as text, begin-of-sequence token included if it has one."""

    @property
    def special_tokens(self) -> frozenset[str]:
        """The text forms of all special tokens."""


class Engine(Protocol):
    """Runs one model. Safe for many concurrent calls on one event loop; batches them itself."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context_length(self) -> int:
        """Most tokens a prompt and its continuation may have together."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What determines the results: engine kind, model, revision, dtype. Strings only."""

    async def generate(self, request: GenerationRequest) -> Completion:
        """Continue the prompt. The result depends on the request alone (as far as the engine can promise it).

        Raises ``EngineUnavailable`` when the engine cannot answer; cancelling frees its slot.
        """

    async def score(self, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """Log-probability of each option after ``prompt``: teacher-forced, raw (temperature 1, no filter).

        Raises ``InputError`` if the prompt and its longest option do not fit the context, ``EngineUnavailable`` when
        the engine cannot answer.
        """

    async def aclose(self) -> None:
        """Free everything. Idempotent; later calls raise ``EngineUnavailable``."""
