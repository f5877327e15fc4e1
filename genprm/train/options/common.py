"""What trainings have in common in a recipe: the model, how its weights are stepped, how it goes on and is logged."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from genprm.recipes import Options


class LlamaShape(Options):
    """A Llama model made from nothing."""

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    max_positions: int = Field(default=4096, gt=0)
    rope_theta: float = Field(default=10000.0, gt=0)
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _divides(self) -> LlamaShape:
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads of kv_heads")
        if self.hidden_size // self.heads % 2:
            raise ValueError(f"a head has {self.hidden_size // self.heads} dimensions; rotary places need an even one")
        return self


class LoraOptions(Options):
    """Low-rank adapters in place of all weights; merged into them at the end."""

    rank: int = Field(default=32, gt=0)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that get adapters."""


class ModelOptions(Options):
    """What is trained: a ``base`` model (a shipped one, a folder or a hub name), or a new one of a ``shape``."""

    base: str | None = None
    shape: LlamaShape | None = None
    lora: LoraOptions | None = None

    @model_validator(mode="after")
    def _one(self) -> ModelOptions:
        if (self.base is None) == (self.shape is None):
            raise ValueError("give either base (a model to go on from) or shape (a new model)")
        return self


class TokenizerOptions(Options):
    """The tokenizer of a new model; a base model brings its own."""

    vocab_size: int = Field(default=3072, ge=512)
    conversations: int = Field(default=6000, gt=0)
    """How many conversations of the corpus it is trained on."""


class OptimizerOptions(Options):
    """How the weights are stepped."""

    kind: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon for the weight matrices, AdamW for the rest."""
    learning_rate: float = Field(default=1e-3, gt=0)
    muon_scale: float = Field(default=2.0, gt=0)
    """The matrices' learning rate under ``muon``, as a multiple of the others'."""
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    clip: float = Field(default=1.0, gt=0)


class ScheduleOptions(Options):
    """The learning rate over the share of the training that is done."""

    kind: Literal["cosine", "wsd", "constant"] = "wsd"
    """``wsd``: warm up, stay, then fall linearly over the last ``decay_share``."""
    warmup_share: float = Field(default=0.02, ge=0, lt=1)
    decay_share: float = Field(default=0.3, gt=0, le=1)
    floor: float = Field(default=0.02, ge=0, le=1)
    """The last learning rate as a share of the highest."""


class Stepped(Options):
    """What every training states: the model and how its weights are stepped."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    model: ModelOptions
    accumulate: int = Field(default=1, gt=0)
    """Batches to one step of the optimizer."""
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    fsdp: dict[str, Any] | None = None
    """Settings of fully sharded data parallelism, as ``accelerate launch`` takes them."""
    tensorboard: bool = False
    """Write the curves for TensorBoard too, into ``log``."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    log_every: int = Field(default=20, gt=0)
