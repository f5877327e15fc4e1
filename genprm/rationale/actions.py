"""What the dialogue asks of its driver, and what the driver answers."""

from __future__ import annotations

from dataclasses import dataclass

from genprm.engines.base import StopReason
from genprm.execution.base import ExecutionResult
from genprm.types import Segment


@dataclass(frozen=True, slots=True)
class Generate:
    """Continue the assistant turn."""

    segments: tuple[Segment, ...]
    """The turn so far, to be put behind the prompt of the step."""
    stop: tuple[str, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Execute:
    """Run this cell in the vote's session."""

    source: str


@dataclass(frozen=True, slots=True)
class ReadOut:
    """Read the probabilities of Yes and No as the next text."""

    segments: tuple[Segment, ...]
    """The turn up to right before the word."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Reply to ``Generate``: the engine's completion."""

    text: str
    ids: tuple[int, ...]
    stop_reason: StopReason
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Reply to ``ReadOut``: raw probabilities of the two words."""

    p_yes: float
    p_no: float


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Reply to ``ReadOut``: the context ends before the word."""


Action = Generate | Execute | ReadOut
Reply = Generated | ExecutionResult | Probabilities | NoRoom
