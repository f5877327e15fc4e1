"""Attention of a ragged batch: rows of different lengths, some with one new token, some with many, no padding.

All new tokens of a step travel through the model as one sequence ``[1, tokens]``, so its linear layers see a plain
matrix; only attention knows where one row ends. It is registered with the transformers library under ``NAME`` and
gets the step's ``Plan`` as a keyword argument of the model's forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from genprm.engines.kv import KVSlots, Row
from genprm.errors import ModelError

if TYPE_CHECKING:
    import torch

NAME = "genprm_ragged"
_FEWEST, _SHORTEST = 3, 32
"""Rows, and keys that they share, from which on shared keys are read once for all of them."""


@dataclass(frozen=True, slots=True)
class Siblings:
    """Rows of one token, one after the other in the plan, that begin with the same ``shared`` tokens."""

    first: int
    count: int
    slot: int
    """Of any of them: the shared keys are read here."""
    shared: int
    slots: torch.Tensor
    tail: int
    """Keys of the longest one after the shared ones."""
    mask: torch.Tensor
    """Added to the scores of the keys after the shared ones: ``[count, 1, 1, tail]``, 0 or minus infinity."""


class Plan:
    """Where the tokens of one step belong. ``rows`` with one token come first, those of a family beside each other."""

    def __init__(self, kv: KVSlots, rows: Sequence[Row], *, batched: bool) -> None:
        import torch

        device = kv.geometry.device
        self.kv = kv
        self.singles = [row for row in rows if row.count == 1]
        self.longs = [row for row in rows if row.count > 1]
        self.rows = (*self.singles, *self.longs)
        self.batched = batched and len(self.singles) > 1
        self.layers_seen = 0
        slots = [row.slot for row in self.rows for _ in range(row.count)]
        positions = [place for row in self.rows for place in range(row.start, row.start + row.count)]
        self.slots = torch.tensor(slots, device=device)
        self.positions = torch.tensor(positions, device=device)
        self.places = kv.places(self.slots, self.positions)
        self.siblings = () if batched else self._siblings()
        self._masks: dict[tuple[int, int | None], torch.Tensor] = {}

    def _siblings(self) -> tuple[Siblings, ...]:
        """The families that are worth an attention of their own."""
        import torch

        found, first = [], 0
        for _, members in groupby(self.singles, key=lambda row: (row.family, row.shared)):
            rows = list(members)
            shared = rows[0].shared
            if len(rows) >= _FEWEST and shared >= _SHORTEST:
                tails = torch.tensor([row.start + 1 - shared for row in rows])
                longest = int(tails.max())
                hidden = torch.arange(longest) >= tails.unsqueeze(1)
                mask = torch.zeros(hidden.shape, dtype=self.kv.geometry.dtype).masked_fill_(hidden, -torch.inf)
                slots = self.slots[first : first + len(rows)]
                found.append(Siblings(first, len(rows), rows[0].slot, shared, slots, longest, mask[:, None, None]))
            first += len(rows)
        return tuple(found)

    def long_mask(self, number: int, window: int | None) -> torch.Tensor:
        """Which keys (all of the row's) each new token of a long row sees: ``[count, keys]``."""
        import torch

        mask = self._masks.get((number, window))
        if mask is None:
            row, device = self.longs[number], self.positions.device
            queries = torch.arange(row.start, row.start + row.count, device=device).unsqueeze(1)
            keys = torch.arange(row.start + row.count, device=device)
            mask = keys <= queries
            if window is not None:
                mask &= keys > queries - window
            self._masks[number, window] = mask
        return mask

    def single_mask(self, window: int | None) -> torch.Tensor:
        """The same for all rows of one token, over the longest row's keys: ``[rows, 1, 1, keys]``."""
        import torch

        mask = self._masks.get((-1, window))
        if mask is None:
            queries = self.positions[: len(self.singles)].unsqueeze(1)
            keys = torch.arange(max(row.start for row in self.singles) + 1, device=self.positions.device)
            mask = keys <= queries
            if window is not None:
                mask &= keys > queries - window
            mask = mask[:, None, None]
            self._masks[-1, window] = mask
        return mask


def register() -> None:
    """Make ``NAME`` known to the transformers library. Harmless when repeated."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _ragged_attention)


def _ragged_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    plan: Plan,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """``query`` ``[1, heads, tokens, head_dim]``, ``key`` and ``value`` ``[1, kv_heads, tokens, head_dim]``."""
    import torch

    for name in ("softcap", "position_bias", "s_aux"):
        if options.get(name) is not None:
            raise ModelError(f"the model's attention uses '{name}', which the transformers engine does not support")
    plan.layers_seen += 1
    tokens, heads = query.shape[2], query.shape[1]
    plan.kv.write(module.layer_idx, plan.places, key[0], value[0])
    parts: list[torch.Tensor] = []
    if plan.singles:
        # The query heads that share a key head are laid out as that head's queries, so no key is repeated.
        singles = (
            query[0, :, : len(plan.singles)]
            .transpose(0, 1)
            .reshape(len(plan.singles), key.shape[1], heads // key.shape[1], -1)
        )
        attend = _batched_singles if plan.batched else _singles
        parts.append(
            attend(plan, module.layer_idx, singles, scaling, sliding_window).reshape(len(plan.singles), heads, -1)
        )
    if plan.longs:
        parts.extend(_longs(plan, module.layer_idx, query, scaling, sliding_window))
    joined = torch.cat(parts) if len(parts) > 1 else parts[0]
    return joined.reshape(1, tokens, heads, -1), None


def _singles(plan: Plan, layer: int, queries: torch.Tensor, scaling: float | None, window: int | None) -> torch.Tensor:
    """Rows of one token: families together, the others row by row."""
    import torch

    if not plan.siblings or window is not None:
        return _row_by_row(plan, layer, queries, scaling, window, 0, len(plan.singles))
    parts, done = [], 0
    for family in plan.siblings:
        if family.first > done:
            parts.append(_row_by_row(plan, layer, queries, scaling, None, done, family.first))
        parts.append(_family(plan.kv, layer, queries, scaling, family))
        done = family.first + family.count
    if done < len(plan.singles):
        parts.append(_row_by_row(plan, layer, queries, scaling, None, done, len(plan.singles)))
    return torch.cat(parts)


def _row_by_row(
    plan: Plan, layer: int, queries: torch.Tensor, scaling: float | None, window: int | None, start: int, end: int
) -> torch.Tensor:
    """Reads each row's keys once and nothing else, which is what counts on a CPU."""
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention
    keys, values = plan.kv.key_rows[layer], plan.kv.value_rows[layer]
    parts = []
    for number in range(start, end):
        row = plan.singles[number]
        first = 0 if window is None else max(0, row.start + 1 - window)
        length = row.start + 1 - first
        parts.append(
            attend(
                queries.narrow(0, number, 1),
                keys[row.slot].narrow(2, first, length),
                values[row.slot].narrow(2, first, length),
                scale=scaling,
            )
        )
    return torch.cat(parts)


def _family(kv: KVSlots, layer: int, queries: torch.Tensor, scaling: float | None, family: Siblings) -> torch.Tensor:
    """The queries of all members against the shared keys in one call, each member's against its own keys in another;
    the two softmaxes are joined by their log-sum-exps. A CPU waits for memory here, and so reads the shared keys once.
    """
    import torch

    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    own = queries.narrow(0, family.first, family.count)
    count, heads, group, width = own.shape
    together = own.transpose(0, 1).reshape(1, heads, count * group, width)
    shared, shared_mass = attend(
        together,
        kv.key_rows[layer][family.slot].narrow(2, 0, family.shared),
        kv.value_rows[layer][family.slot].narrow(2, 0, family.shared),
        scale=scaling,
    )
    tail, tail_mass = attend(
        own,
        kv.keys[layer].narrow(2, family.shared, family.tail).index_select(0, family.slots),
        kv.values[layer].narrow(2, family.shared, family.tail).index_select(0, family.slots),
        attn_mask=family.mask,
        scale=scaling,
    )
    shared = shared.view(heads, count, group, width).transpose(0, 1)
    shared_mass = shared_mass.view(heads, count, group).transpose(0, 1)
    weight = torch.sigmoid(shared_mass - tail_mass).unsqueeze(-1).to(tail.dtype)
    return torch.lerp(tail, shared, weight)


def _batched_singles(
    plan: Plan, layer: int, queries: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """All rows in one call over gathered, padded keys: a GPU prefers few large calls."""
    import torch

    mask = plan.single_mask(window)
    slots, longest = plan.slots[: len(plan.singles)], mask.shape[-1]
    keys = plan.kv.keys[layer].narrow(2, 0, longest).index_select(0, slots)
    values = plan.kv.values[layer].narrow(2, 0, longest).index_select(0, slots)
    return torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=scaling)


def _longs(
    plan: Plan, layer: int, query: torch.Tensor, scaling: float | None, window: int | None
) -> list[torch.Tensor]:
    """Rows with several new tokens: ``[count, heads, head_dim]`` each."""
    import torch

    parts = []
    offset = len(plan.singles)
    for number, row in enumerate(plan.longs):
        length = row.start + row.count
        attended = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, offset : offset + row.count],
            plan.kv.key_rows[layer][row.slot].narrow(2, 0, length),
            plan.kv.value_rows[layer][row.slot].narrow(2, 0, length),
            attn_mask=plan.long_mask(number, window),
            scale=scaling,
            enable_gqa=True,
        )
        parts.append(attended[0].transpose(0, 1))
        offset += row.count
    return parts
