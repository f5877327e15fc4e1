"""A reward model in memory: batches of solutions, one pass each, and prefixes whose keys and values are kept.

Rows are padded on the right, where causal attention cannot see it, and no mask is needed: a reward does not depend on
what shares its batch. Imports torch: load it only to score.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, DynamicCache

from genprm.batching import by_length, cut
from genprm.engines.loading import load_weights, resolve_device, resolve_dtype, revision
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import EngineUnavailable, ModelError
from genprm.scorers.models import head_class, rewards, token_class
from genprm.stepformats import Marked, StepFormat, option_ids

BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}
"""Padded tokens of a batch."""
CONTEXT = 4096
"""Of a model that states none."""

Kept = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of every layer, each (1, heads, length, size)."""


class Network:
    """A model and its tokenizer. Calls may come from several threads; they are worked off one after another."""

    def __init__(
        self,
        model: str,
        format: StepFormat,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_tokens: int | None = None,
    ) -> None:
        """``format`` says whether the model is read by tokens or by a head. Raises ``ModelError``."""
        self.device = resolve_device(device)
        self.dtype = resolve_dtype(dtype, self.device)
        self.tokenizer = HFTokenizer.from_folder(model)
        self.format = format
        self._model: Any = _loaded(model, format, self.tokenizer, self.dtype).to(self.device).eval()
        config = self._model.config
        self.context_length = int(getattr(config, "max_position_embeddings", None) or CONTEXT)
        self.revision = revision(model, config)
        self._batch_tokens = batch_tokens or BATCH_TOKENS.get(self.device.type, BATCH_TOKENS["cpu"])
        self._turn = threading.Lock()

    def encode(self, problem: str, steps: Sequence[str]) -> Marked:
        """A solution as this model reads it."""
        return self.format.encode(problem, steps, self.tokenizer)

    @torch.inference_mode()
    def read(self, rows: Sequence[Marked]) -> list[tuple[float, ...]]:
        """The rewards at the places of every row, each row in one pass and rows of like length together."""
        lengths = [len(row.ids) for row in rows]
        found: list[tuple[float, ...]] = [()] * len(rows)
        for group in cut(by_length(lengths), lengths, self._batch_tokens):
            with self._turn:
                ids = _padded([rows[index].ids for index in group]).to(self.device)
                places = _padded([rows[index].places for index in group]).to(self.device)
                read = rewards(self._open()(input_ids=ids, places=places, use_cache=False)).tolist()
            for index, values in zip(group, read, strict=True):
                found[index] = _numbers(values[: len(rows[index].places)])
        return found

    @torch.inference_mode()
    def read_behind(self, kept: Kept, length: int, ids: Sequence[int]) -> tuple[float, Kept]:
        """The reward at the last of ``ids``, which follow the first ``length`` tokens of ``kept``; and what to keep."""
        with self._turn:
            cache = DynamicCache(tuple((keys[..., :length, :], values[..., :length, :]) for keys, values in kept))
            model = self._open()
            states = model.base_model(
                input_ids=torch.tensor([list(ids)], device=self.device), past_key_values=cache, use_cache=True
            ).last_hidden_state[:, -1]
            (reward,) = _numbers([float(rewards(model.read(states)))])
            return reward, tuple((layer.keys, layer.values) for layer in cache.layers)

    def close(self) -> None:
        """Free the model, once what is being read has been read."""
        with self._turn:
            self._model = None

    def _open(self) -> Any:
        if self._model is None:
            raise EngineUnavailable("the scorer is closed; open another one")
        return self._model


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    """The same. Raises ``ModelError`` for a model whose weights a training has broken."""
    if any(map(math.isnan, values)):
        raise ModelError("the model's rewards are no numbers: its weights are broken; train it again, more slowly")
    return tuple(values)


def _loaded(model: str, format: StepFormat, tokenizer: HFTokenizer, dtype: torch.dtype) -> Any:
    # Code that a checkpoint brings is never run: its tensors fit the classes here.
    config = load_weights(model, lambda: AutoConfig.from_pretrained(model, trust_remote_code=False))
    kind = head_class(type(config)) if format.options is None else token_class(type(config))
    network, info = load_weights(
        model, lambda: kind.from_pretrained(model, config=config, dtype=dtype, output_loading_info=True)
    )
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"the model '{model}' lacks the weights {', '.join(missing[:3])}, which the format '{format.name}' reads; "
            "give a model that was trained for it"
        )
    if format.options is not None:
        network.right_and_wrong = option_ids(format, tokenizer)
    return network


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], dtype=torch.long)
