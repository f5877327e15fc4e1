"""Recipes: a job as one YAML file, checked before anything runs.

A recipe names its stages, each the options of one verb; ``genprm train RECIPE`` does its train stage::

    name: genprm-tiny
    data: {name: micro-world and GSM8K train, split: train, rows: 20000, mean_tokens: 640}
    stages:
      - name: train
        verb: train
        options: {kind: generative, ...}

Overrides are ``key=value`` with a YAML value: a key of the only stage (``optimizer.learning_rate=0.002``), of a named
one (``train.seed=1``), or of the recipe (``data.rows=10``). Unknown keys are refused, with the nearest known place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from genprm import resources
from genprm.errors import RecipeError
from genprm.stepformats import FormatName

Checked = TypeVar("Checked", bound=BaseModel)


class Options(BaseModel):
    """Base of every part of a recipe: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class LlamaShape(Options):
    """A Llama model made from nothing."""

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    max_positions: int = Field(default=4096, gt=0)
    rope_theta: float = 10000.0
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _divides(self) -> LlamaShape:
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads of kv_heads")
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


def _source(data: Any) -> str:
    """Which kind of data it is; the lab's, if it does not say."""
    return str(data.get("source", "lab") if isinstance(data, Mapping) else getattr(data, "source", "lab"))


Data = Annotated[
    Annotated[LabData, Tag("lab")]
    | Annotated[PolicyData, Tag("policy")]
    | Annotated[ReaderData, Tag("annotator")]
    | Annotated[ReaderData, Tag("judge")]
    | Annotated[ConversationData, Tag("conversations")],
    Discriminator(_source),
]


class OptimizerOptions(Options):
    """How the weights are stepped."""

    kind: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon for the weight matrices, AdamW for the rest."""
    learning_rate: float = Field(default=1e-3, gt=0)
    muon_scale: float = Field(default=2.0, gt=0)
    """The matrices' learning rate under ``muon``, as a multiple of the others'."""
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = Field(default=1.0, gt=0)


class ScheduleOptions(Options):
    """The learning rate over the share of the training that is done."""

    kind: Literal["cosine", "wsd", "constant"] = "wsd"
    """``wsd``: warm up, stay, then fall linearly over the last ``decay_share``."""
    warmup_share: float = Field(default=0.02, ge=0, lt=1)
    decay_share: float = Field(default=0.3, gt=0, le=1)
    floor: float = Field(default=0.02, ge=0, le=1)
    """The last learning rate as a share of the highest."""


class EvaluationOptions(Options):
    """Verification of held-out solutions during the training; the weights with the best F1 are the ones kept."""

    data: str
    """Labelled solutions: a JSONL file, or a hub name such as ``hub:Qwen/ProcessBench:gsm8k``."""
    limit: int = Field(default=64, gt=0)
    """The first so many of them."""
    votes: int = Field(default=1, gt=0)
    every: int = Field(default=200, gt=0)
    """Steps from one evaluation to the next; one more at the end."""
    sandbox: Literal["auto", "docker", "local"] = "auto"
    engine_options: dict[str, object] = Field(default_factory=dict)


class Training(Options):
    """What all kinds of training state."""

    seed: int = 0
    model: ModelOptions
    tokenizer: TokenizerOptions = TokenizerOptions()
    accumulate: int = Field(default=1, gt=0)
    """Batches to one step of the optimizer."""
    max_length: int = Field(default=4096, gt=1)
    """Rows longer than this are left out and counted, never cut."""
    max_steps: int | None = Field(default=None, gt=0)
    max_minutes: float | None = Field(default=None, gt=0)
    """Wall clock of the training. The schedule then follows the clock, so two runs are not the same to the bit."""
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    fsdp: dict[str, Any] | None = None
    """Settings of fully sharded data parallelism, as ``accelerate launch`` takes them."""
    tensorboard: bool = False
    """Write the curves for TensorBoard too, into ``log``."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    log_every: int = Field(default=20, gt=0)
    survey_rows: int = Field(default=400, gt=0)
    """Rows made beforehand to state lengths and to size the batches."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        shape = self.model.shape
        if shape is not None and self.max_length > shape.max_positions:
            raise ValueError(f"max_length {self.max_length} exceeds the model's {shape.max_positions} positions")
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
    evaluation: EvaluationOptions | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.max_steps is None and self.max_minutes is None and self.epochs is None:
            raise ValueError("give max_steps, epochs or max_minutes (the first to be reached ends the training)")
        if self.epochs is not None and (self.max_steps is not None or not isinstance(self.data, ConversationData)):
            raise ValueError("epochs are counted on a data set (source: conversations), in place of max_steps")
        if self.evaluation is not None and self.fsdp is not None:
            raise ValueError("evaluation needs the whole model in one process, and fsdp shards it; leave one out")
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
        if self.epochs is not None and self.data.source == "lab":
            raise ValueError("epochs are of files, and the lab's data is endless; give max_steps or max_minutes")
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


READABLE: dict[str, tuple[FormatName, ...]] = {
    "token": ("math-shepherd", "er-prm", "rlhflow"),
    "head": ("qwen",),
    "orm": ("math-shepherd", "er-prm"),
}
"""The formats of a kind; the first unless stated."""


class DataPlan(Options):
    """What the recipe reads, so that a dry run can plan without the network."""

    name: str
    split: str = "train"
    rows: int = Field(ge=0)
    mean_tokens: float = Field(ge=0)
    """Of a training row; of a solution where the recipe samples some."""
    steps: int | None = Field(default=None, gt=0)
    """Of a solution, in the mean."""


class Until(Options):
    """Enough of a data set: earlier stages do more, round after round, until a curation has exported so much."""

    kept: int = Field(gt=0)
    """Rows, of the format that has the fewest."""
    grow: dict[str, dict[str, int]] = Field(min_length=1)
    """What the options of earlier stages gain each round: ``{rollouts: {keep: 4}}``."""
    rounds: int = Field(default=8, gt=0)
    """At most so many rounds in all."""


class Stage(Options):
    """One verb of a recipe with its options, which the verb itself checks."""

    name: str
    verb: str
    """As on the command line: the options are those of ``genprm VERB``, ``in`` is its argument. ``{NAME}`` in a text
    stands for the folder of the stage NAME."""
    source: str | None = Field(default=None, alias="from")
    options: dict[str, Any] = {}
    data: DataPlan | None = None
    """What this stage reads, where it is not what the recipe reads."""
    until: Until | None = None


class Recipe(Options):
    """A named job in stages."""

    name: str
    data: DataPlan | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _grows(self) -> Recipe:
        before: dict[str, Stage] = {}
        for stage in self.stages:
            if stage.until is not None and stage.verb != "curate":
                raise ValueError(f"stage '{stage.name}' has 'until', but only a stage 'curate' exports rows to count")
            for name, options in () if stage.until is None else stage.until.grow.items():
                if name not in before:
                    raise ValueError(f"stage '{stage.name}' grows '{name}', which is no stage before it")
                if other := [key for key in options if type(before[name].options.get(key)) is not int]:
                    raise ValueError(f"stage '{stage.name}' grows {name}.{other[0]}, which is no whole number there")
            before[stage.name] = stage
        return self

    def stage(self, verb: str) -> Stage:
        """The one stage of a verb. Raises ``RecipeError`` if there is none or more."""
        found = [stage for stage in self.stages if stage.verb == verb]
        if len(found) != 1:
            have = ", ".join(f"{stage.name} ({stage.verb})" for stage in self.stages)
            raise RecipeError(
                f"recipe '{self.name}' has {len(found)} stages of verb '{verb}' (it has {have}); need one"
            )
        return found[0]


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file (or of a shipped name such as ``tiny.yaml``) with overrides applied."""
    path = _find(source)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text; a recipe is a YAML file") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path} holds no mapping; a recipe has the keys name, data and stages")
    for override in overrides:
        _override(tree, override)
    return check(Recipe, tree, str(path))


def training(recipe: Recipe, source: str | Path = "recipe") -> GenerativeTraining | StepTraining:
    """The options of the train stage."""
    stage = recipe.stage("train")
    kind = stage.options.get("kind", "generative")
    if kind != "generative" and kind not in READABLE:
        raise RecipeError(f"{source}: training kind '{kind}' is unknown; known: generative, {', '.join(READABLE)}")
    place = f"{source}, stage '{stage.name}'"
    if kind == "generative":
        return check(GenerativeTraining, stage.options, place)
    return check(StepTraining, stage.options, place)


def check(model: type[Checked], tree: Mapping[str, Any], place: str) -> Checked:
    """``tree`` as a ``model``; a ``RecipeError`` names the first key that does not fit."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the options"
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{place}: {key}: {message}") from error


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if path.name in resources.names("recipes") and path.parent.name in ("", "recipes"):
        return resources.path("recipes", path.name)
    shipped = ", ".join(name for name in resources.names("recipes") if name.endswith(".yaml")) or "none"
    raise RecipeError(f"there is no recipe file {source}; recipes that ship: {shipped}")


def tree_of(overrides: Sequence[str]) -> dict[str, Any]:
    """``key.key=value`` texts as a tree, for options that no file holds. Raises ``RecipeError``."""
    tree: dict[str, Any] = {}
    for override in overrides:
        parts, value = _parsed(override)
        _put(tree, parts, value, override)
    return tree


def _override(tree: dict[str, Any], override: str) -> None:
    parts, value = _parsed(override)
    place, parts = _root(tree, parts, override)
    _put(place, parts, value, override)


def _parsed(override: str) -> tuple[list[str], Any]:
    """The parts of the key, and the value."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"override '{override}' is not key=value; write for example optimizer.learning_rate=0.002")
    try:
        return parts, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"override '{override}': the value is not valid YAML") from error


def _put(place: dict[str, Any], parts: Sequence[str], value: Any, override: str) -> None:
    for part in parts[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise RecipeError(f"override '{override}': '{part}' is a value and has no keys below it")
    place[parts[-1]] = value


def _root(tree: dict[str, Any], parts: list[str], override: str) -> tuple[dict[str, Any], list[str]]:
    """Where an override starts, and the rest of its key."""
    stages = tree.get("stages")
    found = [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
    named = {stage.get("name"): stage for stage in found}
    if len(parts) > 2 and parts[0] in named and parts[1] == "until":
        return named[parts[0]], parts[1:]
    if len(parts) > 1 and parts[0] in named:
        return named[parts[0]].setdefault("options", {}), parts[1:]
    if len(found) == 1:
        options = found[0].setdefault("options", {})
        plan = parts[0] == "data" and len(parts) > 1 and parts[1] in DataPlan.model_fields
        if parts[0] != "name" and not plan:
            return options, parts
    if parts[0] in Recipe.model_fields:
        return tree, parts
    names = ", ".join(str(name) for name in named) or "none"
    raise RecipeError(f"override '{override}' names no stage; begin it with a stage name: {names}")
