"""What the train stage of a recipe may say where a policy is trained against a reward.

``raft`` (rejection sampling, as in ER-PRM): sample, score with a frozen reward model, keep the best of each
problem, train on it, repeat. ``grpo``: group-relative policy gradients with the credit of each step on its own tokens.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from genprm.recipes import Options
from genprm.rollout.styles import Style
from genprm.train.options.common import Stepped
from genprm.train.options.rows import GenerativeTraining, SolutionData
from genprm.types import Mode

Aggregation = Literal["min", "mean", "product", "last"]
"""How rewards of steps become the score of a solution."""
Credit = Literal["sum", "min"]


class ProblemOptions(Options):
    """Problems with reference answers: of the micro-world, or of a file or named data set."""

    source: Literal["lab", "file"] = "lab"
    place: str | None = None
    """With ``source: file``: a JSONL file, or a data set that ``genprm rollout`` knows by name, such as math500."""
    count: int = Field(gt=0)
    seed: int = 0
    """Of the draw."""

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if (self.place is None) == (self.source == "file"):
            raise ValueError("source file needs a place (a JSONL file or the name of a data set), source lab has none")
        return self

    def describe(self) -> str:
        return f"{self.count:,} problems of {self.place or 'the micro-world'}"


class HeldOutOptions(ProblemOptions):
    """Problems that are never trained on, solved by every policy from the same seeds."""

    samples: int = Field(default=4, gt=0)
    """Solutions of each problem."""
    temperature: float = Field(default=0.6, ge=0)
    scored: bool = True
    """Have the reward model score them too: its reward is then seen beside the true accuracy."""


class SamplingOptions(Options):
    """How the policy solves problems."""

    samples: int = Field(default=8, gt=0)
    """Solutions of each problem: what the best is chosen from, or the group that is compared."""
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_tokens: int = Field(default=1024, gt=0)
    style: Style = "step-forced"
    system: str | None = None
    engine: str = "auto"
    """Who samples; GRPO samples its groups with the model in training, and only held-out solutions with this."""
    engine_options: dict[str, Any] = Field(default_factory=dict)


class RewardOptions(Options):
    """What a solution is worth."""

    kind: Literal["scorer", "outcome", "random"] = "scorer"
    """``scorer``: what a reward model says; the controls: ``outcome``, whether the answer is right, and ``random``."""
    model: str | None = None
    scorer: str = "auto"
    """How the model is read (see ``genprm.scorers.open_scorer``)."""
    aggregation: Aggregation = "min"
    votes: int | None = Field(default=None, gt=0)
    """Of a generative model; 1 unless stated."""
    mode: Mode | None = None
    sandbox: Literal["auto", "docker", "local"] | None = None
    engine: str | None = None
    engine_options: dict[str, Any] = Field(default_factory=dict)
    """Of a generative model's engine; of a discriminative one, device, dtype and batch_tokens."""

    @model_validator(mode="after")
    def _modelled(self) -> Self:
        if (self.model is None) == (self.kind == "scorer"):
            raise ValueError("kind scorer needs a model; kinds outcome and random have none")
        return self

    def describe(self) -> str:
        named = {"outcome": "by their answers", "random": "at random"}
        return named.get(self.kind) or f"by {self.model} ({self.aggregation} of the steps)"


class PolicyTraining(Stepped):
    """What trainings of a policy against a reward have in common."""

    problems: ProblemOptions
    heldout: HeldOutOptions
    sampling: SamplingOptions = SamplingOptions()
    reward: RewardOptions

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if self.model.base is None:
            raise ValueError("a policy training goes on from a policy that can solve something; give model.base")
        return self

    @property
    def scores_heldout(self) -> bool:
        """Whether held-out solutions are scored: a control would say nothing of them that is not known."""
        return self.heldout.scored and self.reward.kind == "scorer"


class RaftTraining(PolicyTraining):
    """Reward-ranked fine-tuning: every iteration takes fresh problems and trains on the best solution of each."""

    kind: Literal["raft"]
    iterations: int = Field(default=3, gt=0)
    epochs: float = Field(default=2.0, gt=0)
    """Passes over what an iteration kept."""
    rows_per_batch: int = Field(default=32, gt=0)
    """Mean number of solutions in a batch."""
    max_length: int = Field(default=2048, gt=1)
    """Tokens of a row; longer ones are left out and counted."""

    def stage(self, number: int, base: str, path: str) -> GenerativeTraining:
        """The supervised training of an iteration: on the solutions at ``path``, from the policy ``base``."""
        shared = {name: getattr(self, name) for name in Stepped.model_fields if name not in ("seed", "model")}
        return GenerativeTraining(
            **shared,
            seed=self.seed + number,
            model=self.model.model_copy(update={"base": base}),
            data=SolutionData(
                source="solutions", path=path, style=self.sampling.style, system=self.sampling.system,
                seed=self.seed + number,
            ),
            epochs=self.epochs,
            rows_per_batch=self.rows_per_batch,
            max_length=self.max_length,
        )  # fmt: skip


class GrpoTraining(PolicyTraining):
    """Group-relative policy optimisation with TRL's ``GRPOTrainer``; a step trains on what it samples, once."""

    kind: Literal["grpo"]
    beta: float = Field(default=0.5, ge=0, le=1)
    """Share of the process reward, the rest is the outcome's; where the reward knows no steps it counts for nothing."""
    credit: Credit = "min"
    """What a step answers for (see ``genprm.train.credit``)."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the first policy."""
    problems_per_step: int = Field(default=8, gt=0)
    max_steps: int = Field(gt=0)
    max_minutes: float | None = Field(default=None, gt=0)
    """Wall clock of the training; the schedule then follows the clock."""

    @model_validator(mode="after")
    def _groups(self) -> Self:
        if self.sampling.samples < 2:
            raise ValueError("sampling.samples is 1; a group that is compared has two solutions or more")
        if self.problems_per_step * self.sampling.samples % self.accumulate:
            raise ValueError(
                f"accumulate {self.accumulate} does not divide the {self.problems_per_step * self.sampling.samples} "
                "solutions of a step"
            )
        return self

    @property
    def share(self) -> float:
        """Of the process reward."""
        return self.beta if self.reward.kind == "scorer" else 0.0
