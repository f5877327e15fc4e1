"""How much of the past turns a model sees, so that a solution of thirty steps fits the context.

full        every past turn as it was written (as published)
judgements  of every past turn only the output block
last-k      the last k turns in full, of those before only the output block
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from genprm.rationale.format import cut
from genprm.rationale.judgement import find_judgement
from genprm.types import Segment

History = Literal["full", "judgements", "last-k"]


class Policy(Protocol):
    """What the settings say of past turns."""

    @property
    def history(self) -> History: ...

    @property
    def last_k(self) -> int: ...


def remembered(turns: Sequence[tuple[Segment, ...]], policy: Policy) -> tuple[tuple[Segment, ...], ...]:
    """The past turns as the model shall see them."""
    in_full = {"full": len(turns), "judgements": 0, "last-k": policy.last_k}[policy.history]
    first_full = max(len(turns) - in_full, 0)
    return tuple(_judgement_only(turn) if index < first_full else turn for index, turn in enumerate(turns))


def _judgement_only(turn: tuple[Segment, ...]) -> tuple[Segment, ...]:
    found = find_judgement("".join(segment.text for segment in turn))
    return turn if found is None else cut(turn, found.block)
