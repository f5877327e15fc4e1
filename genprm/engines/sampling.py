"""Drawing one token per row of a batch.

Rows are independent: a row's token depends on its own logits, settings and uniform number alone, so neither the batch
around a request nor the order of requests changes what it says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genprm.engines.base import Sampling
from genprm.errors import InputError

if TYPE_CHECKING:
    import torch


def check(sampling: Sampling) -> None:
    """Raise ``InputError`` for settings that mean nothing."""
    if not 0 <= sampling.temperature < math.inf:
        raise InputError(f"temperature must be 0 (greedy) or more and finite, not {sampling.temperature}")
    if not 0 < sampling.top_p <= 1:
        raise InputError(f"top_p must be above 0 and at most 1, not {sampling.top_p}")
    if sampling.top_k < 0:
        raise InputError(f"top_k must be 0 (all tokens) or more, not {sampling.top_k}")


def draw(logits: torch.Tensor, settings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """One token id per row of ``logits`` (float32 ``[rows, vocabulary]``).

    Temperature, then top-k, then top-p on what top-k kept; the uniform number picks by inverse cumulative
    distribution, most likely token first. Temperature 0 takes the first of the most likely tokens.
    """
    greedy = [s.temperature == 0 for s in settings]
    best: list[int] = logits.argmax(-1).tolist() if any(greedy) else []
    if all(greedy):
        return best
    drawn = _draw_sampled(logits, settings, uniforms)
    return [best[row] if greedy[row] else token for row, token in enumerate(drawn)]


def _draw_sampled(logits: torch.Tensor, settings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    import torch

    device, vocabulary = logits.device, logits.shape[-1]
    widths = [min(s.top_k, vocabulary) if s.top_k else vocabulary for s in settings]
    values, tokens = logits.topk(max(widths), dim=-1)
    # Greedy rows go through the arithmetic too (their draw is not used); 1 keeps it finite.
    temperature = torch.tensor([s.temperature or 1.0 for s in settings], device=device).unsqueeze(1)
    values = values / temperature
    if min(widths) < max(widths):
        ranks = torch.arange(values.shape[1], device=device)
        values = values.masked_fill(ranks >= torch.tensor(widths, device=device).unsqueeze(1), -torch.inf)
    probabilities = values.softmax(-1, dtype=torch.float64)
    cumulative = probabilities.cumsum(-1)
    top_p = torch.tensor([s.top_p for s in settings], device=device, dtype=torch.float64).unsqueeze(1)
    # A token stays while those before it have not reached top_p: the one that crosses it stays, so one always does.
    kept = (cumulative - probabilities < top_p) & (probabilities > 0)
    kept[:, 0] = True
    total = (probabilities * kept).sum(-1)
    target = torch.tensor(uniforms, device=device, dtype=torch.float64) * total
    rank = torch.minimum((cumulative <= target.unsqueeze(1)).sum(-1), kept.sum(-1) - 1)
    chosen: list[int] = tokens.gather(1, rank.unsqueeze(1)).squeeze(1).tolist()
    return chosen
