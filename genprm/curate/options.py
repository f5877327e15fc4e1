"""The options of ``genprm curate``, as a recipe or the command line gives them. Defaults are GenPRM's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genprm.recipes import Options

Consensus = Literal["none", "genprm", "genprm-all", "lessons-two", "lessons-all", "siblings", "belief"]
FormatName = Literal["conversations", "step-tags", "extra-tokens"]


class ModelUse(Options):
    """A model that is asked about every solution."""

    model: str
    engine: str = "auto"
    engine_options: dict[str, object] = Field(default_factory=dict)
    temperature: float = Field(default=0.6, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=40, ge=0)
    samples: int = Field(default=1, ge=1)
    """Critiques of an annotator, or votes of a judge, on each solution."""
    max_tokens: int = Field(default=4096, gt=0)
    """Of one request."""
    thinks: bool = True
    """An annotator's critique stands inside a think block."""


class Curation(Options):
    """What is made of rollouts. The models are asked once; everything else is derived and may be changed later."""

    rule: str = "rpe_ratio"
    """The rule whose labels the consensus compares."""
    parameters: dict[str, float | str] = Field(default_factory=dict)
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """With it, a label is unknown where so few completions cannot tell."""
    targets: str = "soft"
    """The rule whose values are the float targets of the step-tag export."""
    target_parameters: dict[str, float | str] = Field(default_factory=dict)
    annotator: ModelUse | None = None
    judge: ModelUse | None = None
    answers: str | None = None
    """The directory of another curation: what the same models answered to the same questions there is taken over."""
    human: str | None = None
    """A file of people's labels (see ``curate.human``)."""
    consensus: Consensus = "genprm"
    least_belief: float = Field(default=0.9, gt=0, le=1)
    """With consensus ``belief``: the probability from which on a first error is trusted."""
    code_conflicts: bool = True
    """Drop solutions with a step whose code printed the opposite of the judgement."""
    truncate: bool = True
    """End every solution at its first wrong step."""
    max_tokens: int = Field(default=8192, gt=0)
    """Of a conversation."""
    per_problem: int | None = Field(default=None, gt=0)
    with_error: float | None = Field(default=None, gt=0, lt=1)
    """Share of solutions with an error that is drawn to."""
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    """Similarity from which on two solutions count as one."""
    decontaminate: dict[str, str] = Field(default_factory=dict)
    """Test sets, by name: a JSONL file or hub name each."""
    formats: tuple[FormatName, ...] = ("conversations",)
    sources: tuple[tuple[str, str], ...] = ()
    """What the data is made from (problems, texts of models), each with its licence, for the data card."""
    title: str = "Process supervision curated by genprm"
    licence: str = "unknown"
    seed: int = 0
