"""What the train stage of a recipe may say, kind by kind: models that are trained on rows.

``generative`` trains on what a model writes, ``token``, ``head`` and ``orm`` on values of steps. Trainings of a policy
against a reward model are in ``options.policies``; which kind a recipe asks for, ``genprm.train.kinds`` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from genprm.recipes import Options
from genprm.rollout.styles import Style
from genprm.stepformats import READABLE, FormatName
from genprm.train.options.common import Stepped, TokenizerOptions


class LabData(Options):
    """Conversations of the lab: micro-world solutions, and GSM8K train solutions if ``gsm8k`` says where they are."""

    source: Literal["lab"] = "lab"
    seed: int = 0
    gsm8k: str | None = None
    """A local JSONL file, or a hub name such as ``openai/gsm8k``; null leaves GSM8K out."""
    gsm8k_share: float = Field(default=0.5, ge=0, le=1)
    flip_share: float = Field(default=0.08, ge=0, le=1)
    """Share of conversations that end in a swapped code output, which the judgement follows."""
    grow_over: int = Field(default=0, ge=0)
    """Over so many conversations, the first, their length grows from two turns to any."""
    side_share: float = Field(default=0.25, ge=0, le=1)
    """Share of the longer micro-world stories with a true step that leads nowhere."""


class PolicyData(Options):
    """Solutions of micro-world problems, and dialogues that refine them, for a policy model.

    See ``genprm.lab.policy.PolicyCorpus``, which has the same fields.
    """

    source: Literal["policy"]
    seed: int = 0
    most_steps: int = Field(default=5, ge=2, le=8)
    """Steps of the longest problem."""
    largest: int = Field(default=100, ge=50)
    """No value in a problem is above it."""
    grow_over: int = Field(default=0, ge=0)
    """Over so many dialogues, the first, problems grow from two steps to the most."""
    refine_share: float = Field(default=0.12, ge=0, le=1)
    """Share of dialogues in which a solution is refined."""
    again_share: float = Field(default=0.2, ge=0, le=1)
    """Share of solutions in which a value is computed a second time."""
    mend_share: float = Field(default=0.05, ge=0, le=1)
    """Share of solutions with a wrong step that is computed again right after."""
    useless_share: float = Field(default=0.15, ge=0, le=1)
    """Share of solutions with an added true step that leads nowhere."""
    quote_share: float = Field(default=0.75, ge=0, le=1)
    """Share of steps that quote the sentence they rest on."""


class ReaderData(Options):
    """Readings of micro-world solutions, for an annotator or a judge of curation.

    See ``genprm.lab.readers.ReaderCorpus``, which has the same fields.
    """

    source: Literal["annotator", "judge"]
    seed: int = 0
    most_steps: int = Field(default=5, ge=2, le=8)
    """Steps of the longest problem."""
    largest: int = Field(default=100, ge=50)
    """No value in a problem is above it."""
    grow_over: int = Field(default=0, ge=0)
    """Over so many readings, the first, problems grow from two steps to the most."""
    clean_share: float = Field(default=0.4, ge=0, le=1)
    """Share of solutions without an error."""
    exchange_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the others whose first error tells of one what the story tells of another."""


class ConversationData(Options):
    """Conversations that ``genprm curate`` exported, or GenPRM-MATH-Data."""

    source: Literal["conversations"]
    path: str
    """An exported folder, a JSONL file, or a hub name."""
    seed: int = 0
    """Of the order, which is another one in each epoch."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Trained on so many of the conversations; those of a smaller share are among those of a larger."""
    direct: bool = False
    """Train on the judgements alone, without analysis and code (Direct-GenPRM)."""


class SolutionData(Options):
    """Solutions that a policy wrote, to train a policy on; the loss counts on what it wrote itself.

    See ``genprm.train.solutions`` for the file.
    """

    source: Literal["solutions"]
    path: str
    style: Style = "step-forced"
    """How the policy was asked: what we open its turn with is not trained on."""
    system: str | None = None
    """Its system turn; null for the shipped one, empty for none."""
    seed: int = 0
    """Of the order, which is another one in each epoch."""


def _source(data: Any) -> str:
    """Which kind of data it is; the lab's, if it does not say."""
    return str(data.get("source", "lab") if isinstance(data, Mapping) else getattr(data, "source", "lab"))


Data = Annotated[
    Annotated[LabData, Tag("lab")]
    | Annotated[PolicyData, Tag("policy")]
    | Annotated[ReaderData, Tag("annotator")]
    | Annotated[ReaderData, Tag("judge")]
    | Annotated[ConversationData, Tag("conversations")]
    | Annotated[SolutionData, Tag("solutions")],
    Discriminator(_source),
]
FINITE = (ConversationData, SolutionData)
"""Data that has an end, so that epochs can be counted."""


class EvaluationOptions(Options):
    """Evaluation on held-out solutions during the training; the weights with the best F1 are the ones kept."""

    data: str
    """Labelled solutions: a JSONL file, or a hub name such as ``hub:Qwen/ProcessBench:gsm8k``."""
    limit: int = Field(default=64, gt=0)
    """The first so many of them."""
    every: int = Field(default=200, gt=0)
    """Steps from one evaluation to the next; one more at the end."""


class VerificationOptions(EvaluationOptions):
    """The same of a model that writes: it is asked for votes."""

    votes: int = Field(default=1, gt=0)
    sandbox: Literal["auto", "docker", "local"] = "auto"
    engine_options: dict[str, object] = Field(default_factory=dict)


class Training(Stepped):
    """What all kinds of training on rows state."""

    tokenizer: TokenizerOptions = TokenizerOptions()
    max_length: int = Field(default=4096, gt=1)
    """Rows longer than this are left out and counted, never cut."""
    max_steps: int | None = Field(default=None, gt=0)
    max_minutes: float | None = Field(default=None, gt=0)
    """Wall clock of the training. The schedule then follows the clock, so two runs are not the same to the bit."""
    survey_rows: int = Field(default=400, gt=0)
    """Rows of endless data made beforehand to state lengths and to size the batches; of a data set it is all."""
    evaluation: EvaluationOptions | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        shape = self.model.shape
        if shape is not None and self.max_length > shape.max_positions:
            raise ValueError(f"max_length {self.max_length} exceeds the model's {shape.max_positions} positions")
        if self.evaluation is not None and self.fsdp is not None:
            raise ValueError("evaluation needs the whole model in one process, and fsdp shards it; leave one out")
        return self


class GenerativeTraining(Training):
    """Supervised training of a causal LM on rationales or solutions; the loss counts on what the model writes."""

    kind: Literal["generative"] = "generative"
    data: Data = LabData()
    tokens_per_batch: int = Field(default=4096, gt=0)
    """Mean number of tokens in a batch."""
    rows_per_batch: int | None = Field(default=None, gt=0)
    """Mean number of rows in a batch, in place of ``tokens_per_batch``."""
    mask_code_output: bool = True
    packing: bool = False
    """Rows of a batch in one sequence instead of padded ones; attention stays within each row."""
    epochs: float | None = Field(default=None, gt=0)
    """Times that every row of a data set is seen, in place of ``max_steps``."""
    evaluation: VerificationOptions | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.max_steps is None and self.max_minutes is None and self.epochs is None:
            raise ValueError("give max_steps, epochs or max_minutes (the first to be reached ends the training)")
        if self.epochs is not None and (self.max_steps is not None or not isinstance(self.data, FINITE)):
            raise ValueError(
                "epochs are passes over a data set (source: conversations or solutions) and stand in place of "
                "max_steps: set the other one to null"
            )
        return self


class StepLabData(Options):
    """Solutions of the micro-world with the truth of every step (see ``genprm.lab.steps.StepCorpus``)."""

    source: Literal["lab"] = "lab"
    seed: int = 0
    most_steps: int = Field(default=5, ge=2, le=8)
    """Steps of the longest problem."""
    largest: int = Field(default=100, ge=50)
    """No value in a problem is above it."""
    grow_over: int = Field(default=0, ge=0)
    """Over so many solutions, the first, problems grow from two steps to the most."""
    clean_share: float = Field(default=0.4, ge=0, le=1)
    """Share of solutions without an error."""


class StepFileData(Options):
    """Solutions with a value for each step, from files (see ``genprm.train.labelled``)."""

    source: Literal["files"]
    places: tuple[str, ...] = Field(min_length=1)
    """Folders that ``genprm curate`` exported, JSONL files, names of data sets on the hub."""


StepData = Annotated[Annotated[StepLabData, Tag("lab")] | Annotated[StepFileData, Tag("files")], Discriminator(_source)]


class StepTraining(Training):
    """Training of a discriminative reward model: ``token`` reads two tokens at step tags, ``head`` a head of two
    classes, ``orm`` two tokens at the end of the solution alone."""

    kind: Literal["token", "head", "orm"]
    data: StepData = StepLabData()
    format: FormatName | None = None
    """Of the text (see ``genprm.stepformats``); math-shepherd unless stated, qwen for ``head``."""
    targets: Literal["soft", "hard"] | None = None
    """``soft``: the values; ``hard``: 1 for a value above 0, else 0. Cross-entropy, but for a head with soft targets,
    whose probability is fitted by least squares. Soft unless stated, hard for ``head``."""
    batch_size: int = Field(default=16, gt=0)
    """Solutions in a batch of each process."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over files, where neither steps nor minutes end the training before."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.max_steps is None and self.max_minutes is None and self.epochs is None:
            raise ValueError("give max_steps, max_minutes or epochs (the first to be reached ends the training)")
        if self.model.lora is not None:
            raise ValueError("adapters (model.lora) are of kind generative; all weights of a reward model are trained")
        if self.epochs is not None and self.data.source == "lab":
            raise ValueError("epochs are of files, and the lab's data is endless; give max_steps or max_minutes")
        if self.evaluation is not None and self.kind == "orm":
            raise ValueError("evaluation is by F1, and an outcome model names no step; leave it out")
        if self.reads not in READABLE[self.kind]:
            raise ValueError(f"kind {self.kind} has no format '{self.reads}'; it has {', '.join(READABLE[self.kind])}")
        return self

    @property
    def reads(self) -> FormatName:
        """The format."""
        return self.format or READABLE[self.kind][0]

    @property
    def aims(self) -> Literal["soft", "hard"]:
        """The targets."""
        return self.targets or ("hard" if self.kind == "head" else "soft")
