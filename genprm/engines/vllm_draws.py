"""How tokens are drawn inside vLLM on a CPU: as the transformers engine draws them, for the whole batch at once.

vLLM itself draws noise over the whole vocabulary for one seeded request after the other, which takes half of the time
of a small model, and it dies of a seeded prompt that is split over two steps. Here a request's n-th uniform number
depends on its seed and n alone, so either is harmless, and the same seed gives the text that it gives with
transformers, rounding apart.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from vllm.v1.sample.logits_processor import LogitsProcessor, MoveDirectionality

from genprm.engines.base import Sampling
from genprm.engines.sampling import draw

if TYPE_CHECKING:
    import torch

NAME = f"{__name__}:SeededDraws"
"""As vLLM's ``logits_processors`` takes it."""
_FIELD = "genprm_draw"


def wish(seed: int, sampling: Sampling) -> dict[str, Any]:
    """What a request carries in ``SamplingParams.extra_args``; its own temperature must be 0."""
    return {_FIELD: [str(seed), *astuple(sampling)]}  # text: a seed may exceed 64 bits


@dataclass(slots=True)
class _Request:
    generator: random.Random
    sampling: Sampling
    written: Sequence[int]
    """vLLM's own list of what the request has written; it grows."""
    uniforms: list[float] = field(default_factory=list)

    def uniform(self) -> float:
        """The number for the token that comes next; asked again for the same token, it is the same."""
        while len(self.uniforms) <= len(self.written):
            self.uniforms.append(self.generator.random())
        return self.uniforms[len(self.written)]


class SeededDraws(LogitsProcessor):  # type: ignore[misc]
    """Draws the token of every request that has a ``wish`` and makes it the most likely one by far."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._requests: dict[int, _Request] = {}
        """By their row in the batch."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow the requests through the batch: removed, then added, then moved, as vLLM prescribes."""
        if batch_update is None:
            return
        rows = self._requests
        for row in batch_update.removed:
            rows.pop(row, None)
        for row, params, _, written in batch_update.added:
            rows.pop(row, None)
            if wished := (params.extra_args or {}).get(_FIELD):
                seed, *sampling = wished
                rows[row] = _Request(random.Random(int(seed)), Sampling(*sampling), written)
        for source, target, direction in batch_update.moved:
            moved, replaced = rows.pop(source, None), rows.pop(target, None)
            if moved is not None:
                rows[target] = moved
            if replaced is not None and direction == MoveDirectionality.SWAP:
                rows[source] = replaced

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """``logits`` is float32 ``[rows, vocabulary]``; changed in place."""
        if not self._requests:
            return logits
        rows = sorted(self._requests)
        requests = [self._requests[row] for row in rows]
        own = logits if len(rows) == len(logits) else logits[rows]
        tokens = draw(own, [one.sampling for one in requests], [one.uniform() for one in requests])
        logits[rows, tokens] = float("inf")
        return logits
