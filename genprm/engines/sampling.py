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

_FEW = 64


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
    """Nearly every draw without top-k falls on one of the few most likely tokens, and sorting a whole vocabulary is
    slow: so those are looked at first, and the rest only for the rows that they leave open."""
    vocabulary = logits.shape[-1]
    widths = [min(s.top_k, vocabulary) if s.top_k else vocabulary for s in settings]
    if max(widths) <= _FEW or any(_FEW < width < vocabulary for width in widths):
        return _among(logits, settings, uniforms, widths, max(widths))[0]
    chosen, sure = _among(logits, settings, uniforms, widths, _FEW)
    left = [row for row, known in enumerate(sure) if not known]
    if left:
        found, _ = _among(
            logits[left],
            [settings[row] for row in left],
            [uniforms[row] for row in left],
            [vocabulary] * len(left),
            vocabulary,
        )
        for row, token in zip(left, found, strict=True):
            chosen[row] = token
    return chosen


def _among(
    logits: torch.Tensor,
    settings: Sequence[Sampling],
    uniforms: Sequence[float],
    widths: Sequence[int],
    looked_at: int,
) -> tuple[list[int], list[bool]]:
    """A token for each row among its ``looked_at`` most likely ones, and whether more of them could not change it."""
    import torch

    device = logits.device
    # Greedy rows go through the arithmetic too (their draw is not used); 1 keeps it finite.
    temperature = torch.tensor([s.temperature or 1.0 for s in settings], device=device).unsqueeze(1)
    width = torch.tensor(widths, device=device)
    whole = width <= looked_at
    values, tokens = logits.topk(looked_at, dim=-1)
    values = (values / temperature).double()
    if min(widths) < looked_at:
        values = values.masked_fill(torch.arange(looked_at, device=device) >= width.unsqueeze(1), -torch.inf)
    best = values[:, :1]
    weights = (values - best).exp()
    mass = weights.sum(-1)
    if looked_at < logits.shape[-1]:
        mass = torch.where(whole, mass, ((logits / temperature).double() - best).exp().sum(-1))
    probabilities = weights / mass.unsqueeze(1)
    cumulative = probabilities.cumsum(-1)
    top_p = torch.tensor([s.top_p for s in settings], device=device, dtype=torch.float64)
    # A token stays while those before it have not reached top_p: the one that crosses it stays, so one always does.
    kept = (cumulative - probabilities < top_p.unsqueeze(1)) & (probabilities > 0)
    kept[:, 0] = True
    whole = whole | (cumulative[:, -1] >= top_p)
    total = torch.where(whole, (probabilities * kept).sum(-1), top_p)
    target = torch.tensor(uniforms, device=device, dtype=torch.float64) * total
    rank = torch.minimum((cumulative <= target.unsqueeze(1)).sum(-1), kept.sum(-1) - 1)
    chosen: list[int] = tokens.gather(1, rank.unsqueeze(1)).squeeze(1).tolist()
    # Without top-p all tokens count and their mass is 1, so a draw inside the ones looked at stands.
    sure: list[bool] = (whole | ((top_p == 1) & (target < cumulative[:, -1]))).tolist()
    return chosen, sure
