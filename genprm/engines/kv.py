"""Keys and values of many sequences in preallocated slots, kept after a sequence ends.

A slot holds the keys and values of one token sequence. When its request ends, the slot is not emptied: a dialogue's
next prompt extends its last one, and votes on one solution share theirs, so the longest known prefix of a new prompt
is taken over instead of computed again. The least recently used idle slot is given away when none is empty.

Layout per layer: keys and values ``[slots, kv_heads, context, head_dim]``, so one row's keys are contiguous per head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genprm.errors import ModelError

if TYPE_CHECKING:
    import torch

_TAKE_OVER = 64
"""Tokens of an idle sequence that may be lost when its slot is taken over in place rather than copied."""
_WORTH_COPYING = 16


@dataclass(frozen=True, slots=True)
class Geometry:
    """What one token's keys and values need."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes_per_token(self) -> int:
        return self.layers * 2 * self.heads * self.head_dim * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Row:
    """``count`` new tokens of the sequence in ``slot``, the first at position ``start``.

    Rows of one ``family`` (0: none) have the same first ``shared`` tokens, all of them computed.
    """

    slot: int
    start: int
    count: int
    family: int = 0
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Prefix:
    """The best known beginning of a prompt: ``length`` tokens in ``slot``; ``promised`` once its prefill is done."""

    slot: int
    length: int
    promised: int


class KVSlots:
    """``count`` slots of ``capacity`` tokens each."""

    NOTHING = Prefix(0, 0, 0)

    def __init__(self, geometry: Geometry, count: int, capacity: int) -> None:
        self.count, self.capacity, self.geometry = count, capacity, geometry
        shape = (count, geometry.heads, capacity, geometry.head_dim)
        self.keys = [_zeros(shape, geometry) for _ in range(geometry.layers)]
        self.values = [_zeros(shape, geometry) for _ in range(geometry.layers)]
        # One view per slot and layer, made once: slicing is a visible cost when every row does it in every layer.
        self.key_rows = [[layer.narrow(0, slot, 1) for slot in range(count)] for layer in self.keys]
        self.value_rows = [[layer.narrow(0, slot, 1) for slot in range(count)] for layer in self.values]
        self.tokens = np.full((count, capacity), -1, dtype=np.int64)
        self.filled = np.zeros(count, dtype=np.int64)
        """Tokens of each slot whose keys and values are computed."""
        self.target = np.zeros(count, dtype=np.int64)
        """Tokens of each slot that are known, computed or about to be."""
        self._last_used = np.zeros(count, dtype=np.int64)
        self._busy = np.zeros(count, dtype=bool)
        self._clock = 0

    @property
    def idle(self) -> int:
        """Slots that a new sequence may use."""
        return int(self.count - self._busy.sum())

    def find(self, prompt: np.ndarray) -> Prefix:
        """The slot that knows most of ``prompt``; never all of it, since its last token must be fed again."""
        longest = min(len(prompt) - 1, self.capacity)
        width = min(longest, int(self.target.max(initial=0)))
        if width == 0:
            return self.NOTHING
        different = self.tokens[:, :width] != prompt[:width]
        common = np.where(different.any(1), different.argmax(1), width)
        promised = np.minimum(common, self.target)
        usable = np.minimum(common, self.filled)
        # Among equals an idle slot that loses least is best: it may be taken over without a copy.
        loss = np.where(self._busy, self.capacity, self.filled - usable)
        slot = int(np.lexsort((loss, -usable))[0])
        return Prefix(slot, int(usable[slot]), int(promised.max()))

    def claim(self, prompt: np.ndarray, prefix: Prefix) -> int:
        """A slot for ``prompt`` in which ``filled`` tokens of it are ready. Needs ``idle`` > 0."""
        slot, ready = prefix.slot, prefix.length
        lost = int(self.filled[slot]) - ready
        if self._busy[slot] or ready == 0 or lost > _TAKE_OVER:
            copying = ready >= _WORTH_COPYING
            slot = self._evict(keep=prefix.slot if copying else None)
            if slot != prefix.slot:
                ready = self._copy(prefix.slot, slot, ready) if copying else 0
        self._busy[slot] = True
        self.tokens[slot, : len(prompt)] = prompt
        self.filled[slot], self.target[slot] = ready, len(prompt)
        return slot

    def record(self, rows: Sequence[Row], ids: Sequence[int]) -> None:
        """The tokens ``ids`` of ``rows``, one row after the other, are computed."""
        offset = 0
        for row in rows:
            end = row.start + row.count
            self.tokens[row.slot, row.start : end] = ids[offset : offset + row.count]
            self.filled[row.slot] = end
            self.target[row.slot] = max(self.target[row.slot], end)
            offset += row.count

    def release(self, slot: int) -> None:
        """The sequence ended; what it computed stays until the slot is needed."""
        self._clock += 1
        self._last_used[slot] = self._clock
        self._busy[slot] = False
        self.target[slot] = self.filled[slot]

    def _evict(self, keep: int | None) -> int:
        rank = np.where(self._busy, np.iinfo(np.int64).max, np.where(self.filled == 0, -1, self._last_used))
        if keep is not None and self.idle > 1:
            rank[keep] = np.iinfo(np.int64).max
        return int(rank.argmin())

    def _copy(self, source: int, destination: int, length: int) -> int:
        for store in (*self.keys, *self.values):
            store[destination, :, :length] = store[source, :, :length]
        return length

    def places(self, slots: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Where tokens' keys and values are stored, head after head: for ``write`` in every layer."""
        import torch

        heads = torch.arange(self.geometry.heads, device=slots.device).unsqueeze(1)
        return ((slots * self.geometry.heads + heads) * self.capacity + positions).reshape(-1)

    def write(self, layer: int, places: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store the keys and values (``[kv_heads, tokens, head_dim]``) of tokens at their ``places``."""
        if keys.shape[::2] != self.keys[layer].shape[1::2] or values.shape != keys.shape:
            raise ModelError(
                f"layer {layer} has keys of {keys.shape[0]} heads of {keys.shape[2]} where the model's configuration "
                f"says {self.geometry.heads} of {self.geometry.head_dim}; this architecture is not supported by the "
                "transformers engine"
            )
        width = self.geometry.head_dim
        self.keys[layer].view(-1, width).index_copy_(0, places, keys.reshape(-1, width))
        self.values[layer].view(-1, width).index_copy_(0, places, values.reshape(-1, width))


def _zeros(shape: tuple[int, ...], geometry: Geometry) -> torch.Tensor:
    """Zeros, since attention reads unused places too, where a stray NaN would survive the mask. On a CPU they are the
    system's own, which cost nothing until they are written."""
    import torch

    if geometry.device.type != "cpu":
        return torch.zeros(shape, dtype=geometry.dtype, device=geometry.device)
    raw = np.zeros(int(np.prod(shape)) * geometry.dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(geometry.dtype).view(shape)
