"""Language models that are read at places: the two kinds of discriminative reward model, as classes of their own.

Both are built on whatever architecture a configuration names, so any causal model of the library can become one.

* read by tokens: an ordinary causal language model; at a place the logits of two tokens count, and only those are
  computed. Saved, it is an ordinary model folder.
* read by a head: the model without its language head, and Linear(h, h), ReLU, Linear(h, 2) in its place. The tensors
  are named as in Qwen2.5-Math-PRM (``score.0``, ``score.2``), so its checkpoints load without code of their own.

Imports torch: load it only to train or to score.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

from genprm.errors import ModelError


def at_places(states: Tensor, places: Tensor) -> Tensor:
    """(rows, places, h): the states (rows, length, h) at ``places`` (rows, places); negative places give any."""
    index = places.clamp(min=0).unsqueeze(-1).expand(-1, -1, states.shape[-1])
    return states.gather(1, index)


class ReadByTokens:
    """Adds ``places`` to a causal language model's forward."""

    right_and_wrong: tuple[int, int]
    """Token ids, set by whoever opens the model."""

    def forward(self: Any, input_ids: Tensor, places: Tensor | None = None, **options: Any) -> Any:
        """With ``places``: logits (rows, places, 2) of wrong and right, in fp32. Else what the model itself gives."""
        if places is None:
            return super().forward(input_ids=input_ids, **options)  # type: ignore[misc]
        states = self.base_model(input_ids=input_ids, **options).last_hidden_state
        return self.read(at_places(states, places))

    def read(self: Any, states: Tensor) -> Tensor:
        right, wrong = self.right_and_wrong
        weight = self.get_output_embeddings().weight[[wrong, right]]
        return nn.functional.linear(states, weight).float()


class ReadByHead:
    """A model without a language head and a head of two classes, wrong and right, in its place."""

    def __init__(self: Any, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        self.model = MODEL_MAPPING[type(config)](config)
        size = config.get_text_config().hidden_size
        self.score = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 2))
        self.post_init()

    def forward(self: Any, input_ids: Tensor, places: Tensor, **options: Any) -> Tensor:
        """Logits (rows, places, 2) of wrong and right, in fp32."""
        states = self.model(input_ids=input_ids, **options).last_hidden_state
        logits: Tensor = self.read(at_places(states, places))
        return logits

    def read(self: Any, states: Tensor) -> Tensor:
        logits: Tensor = self.score(states)
        return logits.float()


def causal_class(config_class: type) -> Any:
    """The causal language model of an architecture, as the library has it. Raises ``ModelError``."""
    return _known(MODEL_FOR_CAUSAL_LM_MAPPING, config_class)


def token_class(config_class: type) -> Any:
    """The causal language model of an architecture, with ``ReadByTokens``; named as the library names it."""
    parent = causal_class(config_class)
    return type(parent.__name__, (ReadByTokens, parent), {"__module__": __name__})


def head_class(config_class: type) -> Any:
    """The reward model of an architecture, such as ``Qwen2ForProcessRewardModel``."""
    backbone = _known(MODEL_MAPPING, config_class)
    name = backbone.__name__.removesuffix("Model") + "ForProcessRewardModel"
    body = {"__module__": __name__, "base_model_prefix": "model"}
    return type(name, (ReadByHead, backbone.__bases__[0]), body)


def _known(mapping: Any, config_class: type) -> Any:
    if config_class not in mapping:
        raise ModelError(f"{config_class.__name__} names no causal language model; use one that transformers knows")
    return mapping[config_class]


def rewards(logits: Tensor) -> Tensor:
    """P(right) of logits (..., 2) of wrong and right."""
    return torch.softmax(logits, dim=-1)[..., 1]
