"""``genprm train``: a recipe in, an ordinary Hugging Face model folder out.

What all kinds share is here; ``generative`` and ``discriminative`` prepare their own data, model and trainer.

The output folder of a training::

    config.yaml        the resolved recipe; another recipe is refused, the same one continues
    environment.json   versions, processor, precision
    log/train.jsonl    loss, learning rate, speed
    checkpoints/       the newest one, until the training has ended
    model/             weights in bf16 safetensors, tokenizer, chat template, generation_config, README.md
    metrics.json       written last: the training has ended
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm import recipes
from genprm.errors import InputError, MissingDependency
from genprm.recipes import ConversationData, GenerativeTraining, LabData, StepFileData, StepTraining
from genprm.runs.configuration import Configuration
from genprm.runs.environment import environment
from genprm.train.models import Report, parameters, precision, processor, quiet, save_model
from genprm.train.pace import Pace
from genprm.train.rows import Batches, Survey

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from genprm.train.card import Facts
    from genprm.train.heldout import HeldOut

AnyTraining = GenerativeTraining | StepTraining

_EXTENT = ("checkpoint_minutes", "log_every", "tensorboard")
"""Options that do not change what comes out, so they may change when a training goes on."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training ended."""

    folder: Path
    """The model folder."""
    steps: int
    minutes: float
    loss: float | None
    """The last one logged."""
    parameters: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a kind brings to a training."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    batches: Batches[Any]
    survey: Survey
    max_steps: int | None
    trainer: Callable[..., Any]
    """Makes the trainer, of the keywords of ``loop.Paced`` and the library's."""
    arguments: Callable[..., Any]
    """Makes the trainer's arguments, of the library's keywords."""
    finish: Callable[[Path], None]
    """Adds to the finished model folder."""
    heldout: HeldOut | None = None
    """Evaluates while it trains; then the best weights are kept, not the last."""


def silent(text: str) -> None:
    """A reporter that drops its line."""


def train(
    recipe: str | Path,
    out: Path,
    *,
    data: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    report: Callable[[str], None] = silent,
) -> Trained | None:
    """Do the train stage of a recipe in the folder ``out``; called again on it, continue from its last checkpoint.

    ``data`` names local copies: ``{"gsm8k": "train.jsonl"}``, or ``{"steps": FOLDER}`` for discriminative kinds, which
    is then what the recipe says it reads, and part of its identity. A dry run reports the plan, reads and writes
    nothing else, and returns None. ``report`` gets one line at a time. Raises ``RecipeError``, ``ModelError`` and
    ``IdentityError`` before anything is written.
    """
    from genprm.train.data import check_names

    check_names(data or {})
    report = report if is_first() else silent
    loaded = recipes.load(recipe, overrides)
    options = _with_copies(recipes.training(loaded, recipe), data or {})
    config = configuration(loaded.name, options)
    stored = out / "config.yaml"
    if stored.exists():
        config.require_same(Configuration.read(stored), out)
    if dry_run:
        report(_plan(loaded, options))
        return None
    if (out / "metrics.json").exists():
        report(f"{out} holds a finished training of this recipe; its model is {out / 'model'}")
        return _finished(out)
    _require_extra()
    prepared = _prepare(options, data or {}, out, report)
    report(prepared.survey.describe(options.max_length))
    if is_first():
        _write_start(out, config, prepared.tokenizer)
    return _run(options, out, prepared, loaded.name, report)


def _with_copies(options: AnyTraining, data: Mapping[str, str]) -> AnyTraining:
    """The options with the local copy of the labelled steps, if one is named. Raises ``InputError``."""
    if "steps" not in data:
        return options
    if not isinstance(options, StepTraining):
        raise InputError("--data names 'steps', which a recipe of kind generative does not read")
    return options.model_copy(update={"data": StepFileData(source="files", places=(data["steps"],))})


def _prepare(options: AnyTraining, data: Mapping[str, str], out: Path, report: Report) -> Prepared:
    from genprm.train import discriminative, generative

    if isinstance(options, GenerativeTraining):
        return generative.prepare(options, data, out, report)
    return discriminative.prepare(options, data, out, report)


def configuration(name: str, options: AnyTraining) -> Configuration:
    """The training as a run directory's configuration. Where the data lies is not identity: copies move."""
    everything = options.model_dump(mode="json")
    extent = {key: everything.pop(key) for key in _EXTENT}
    if isinstance(options.data, LabData):
        extent["gsm8k"] = everything["data"].pop("gsm8k")
        everything["data"]["with_gsm8k"] = options.data.gsm8k is not None
    return Configuration("train", {"recipe": name, **everything}, extent)


def _plan(recipe: recipes.Recipe, options: AnyTraining) -> str:
    ends = [f"{options.max_steps} steps"] if options.max_steps else []
    ends += [f"{options.max_minutes:g} minutes"] if options.max_minutes else []
    what = options.model.base or f"a new Llama model of {parameters(options)[0] / 1e6:.1f}M parameters"
    if isinstance(options, StepTraining):
        ends += [f"{options.epochs:g} passes"] if options.epochs else []
        places = ", ".join(options.data.places) if isinstance(options.data, StepFileData) else "lab data"
        read = "the outcome" if options.kind == "orm" else "steps"
        return (
            f"train {what} to read {read} in the format {options.reads}, "
            f"{options.aims} targets, on {places}, seed {options.seed}, {options.batch_size * options.accumulate} "
            f"solutions a step in each process, for {' or '.join(ends)}"
        )
    ends += [f"{options.epochs:g} epochs"] if options.epochs else []
    data = options.data
    share = data.gsm8k_share if isinstance(data, LabData) else 0.0
    gsm8k = f" and {data.gsm8k} ({100 * share:.0f} %)" if isinstance(data, LabData) and share else ""
    name = f"the conversations of {data.path}" if isinstance(data, ConversationData) else f"{data.source} data{gsm8k}"
    plan = f"train {what} on {name}, seed {options.seed}, for {' or '.join(ends)}"
    if options.max_steps and options.rows_per_batch is None:
        tokens = options.max_steps * options.accumulate * options.tokens_per_batch
        plan += f" (at most {tokens / 1e6:.1f}M tokens"
        plan += f", about {tokens / recipe.data.mean_tokens:,.0f} rows)" if recipe.data else ")"
    elif options.epochs and recipe.data:
        plan += f" (about {options.epochs * recipe.data.rows * recipe.data.mean_tokens / 1e6:,.0f}M tokens)"
    return plan


def _require_extra() -> None:
    try:
        import accelerate  # noqa: F401
        import trl  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error.name), "train") from error


def _write_start(out: Path, config: Configuration, tokenizer: Any) -> None:
    (out / "log").mkdir(parents=True, exist_ok=True)
    if not (out / "tokenizer").is_dir():
        # Whole or not at all: a later run takes the folder as it stands.
        tokenizer.save_pretrained(out / "tokenizer.part")
        (out / "tokenizer.part").rename(out / "tokenizer")
    (out / "config.yaml").write_text(config.dump(), encoding="utf-8")


def _run(options: AnyTraining, out: Path, prepared: Prepared, name: str, report: Report) -> Trained:
    from transformers import PrinterCallback

    from genprm.train.card import Facts
    from genprm.train.loop import STATE, Progress

    bf16, line = precision(options.precision)
    report(line)
    checkpoint = _last_checkpoint(out)
    step, spent, seen = 0, 0.0, 0
    if checkpoint is not None:
        step = int(checkpoint.name.rpartition("-")[2])
        clock = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        spent, seen = float(clock["elapsed_s"]), int(clock["tokens"])
        report(f"continuing from step {step}, after {spent / 60:.1f} minutes")
    pace = Pace(options.schedule, max_steps=prepared.max_steps, max_minutes=options.max_minutes, spent_s=spent)
    progress = Progress(pace, out / "log" / "train.jsonl", options.checkpoint_minutes * 60, report, tokens=seen)
    model, tokenizer, heldout = prepared.model, prepared.tokenizer, prepared.heldout
    with quiet():
        trainer = prepared.trainer(
            model=model,
            args=prepared.arguments(**_arguments(options, prepared, out, bf16)),
            processing_class=tokenizer,
            callbacks=[*([] if heldout is None else [heldout]), *_curves(options, out), progress],
            progress=progress,
            batches=prepared.batches,
            pace=pace,
            optimizer=options.optimizer,
            first_batch=step * options.accumulate * processes(),
        )
        trainer.remove_callback(PrinterCallback)
        if heldout is not None:
            heldout.log = trainer.log
        with progress.stoppable():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        steps = int(trainer.state.global_step)
        if heldout is not None and is_first():
            heldout.evaluate(trainer.accelerator.unwrap_model(trainer.model), steps)
        folder = _save_end(trainer, tokenizer, out, heldout)
    facts = Facts(
        name=name,
        options=options.model_dump(mode="json"),
        survey=prepared.survey,
        parameters=model.num_parameters(),
        precision="bf16" if bf16 else "fp32",
        steps=steps,
        tokens=progress.tokens,
        minutes=pace.elapsed_s / 60,
        loss=progress.last_loss,
        environment=environment(processor=processor()),
        best=None if heldout is None or heldout.best is None else asdict(heldout.best),
    )
    if is_first():
        prepared.finish(folder)
        _write_end(out, folder, facts)
    trainer.accelerator.wait_for_everyone()
    report(f"{steps} steps in {pace.elapsed_s / 60:.1f} minutes; model in {folder}")
    return _finished(out)


def _curves(options: AnyTraining, out: Path) -> list[Any]:
    """What draws the curves, if it is wanted."""
    if not options.tensorboard:
        return []
    from transformers.integrations import TensorBoardCallback

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingDependency("tensorboard", "train") from error
    return [TensorBoardCallback(SummaryWriter(log_dir=str(out / "log")))]


def _save_end(trainer: Any, tokenizer: Any, out: Path, heldout: HeldOut | None) -> Path:
    """The model folder: the best weights where they were looked for, else the last."""
    folder = out / "model"
    if heldout is not None and heldout.best is not None:
        if is_first():
            shutil.rmtree(folder, ignore_errors=True)
            (out / "best").rename(folder)
        return folder
    if trainer.is_fsdp_enabled:
        trainer.save_model(str(folder))  # gathers the shards; every process takes part
        return folder
    if is_first():
        save_model(trainer.accelerator.unwrap_model(trainer.model), tokenizer, folder)
    return folder


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process among them that writes and reports."""
    return os.environ.get("RANK", "0") == "0"


def _write_end(out: Path, folder: Path, facts: Facts) -> None:
    """What a training leaves beside the weights; then nothing is left to continue from."""
    from genprm.train.card import write_card

    write_card(folder, facts)
    (out / "environment.json").write_text(json.dumps(facts.environment, indent=2) + "\n", encoding="utf-8")
    (out / "metrics.json").write_text(json.dumps(facts.figures(), indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def _finished(out: Path) -> Trained:
    figures = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return Trained(out / "model", figures["steps"], figures["minutes"], figures["loss"], figures["parameters"])


def _arguments(options: AnyTraining, prepared: Prepared, out: Path, bf16: bool) -> dict[str, Any]:
    import torch

    return {
        "output_dir": str(out / "checkpoints"),
        "max_steps": prepared.max_steps or 10**9,
        "gradient_accumulation_steps": options.accumulate,
        "per_device_train_batch_size": 1,
        "learning_rate": options.optimizer.learning_rate,
        "weight_decay": options.optimizer.weight_decay,
        "adam_beta1": options.optimizer.beta1,
        "adam_beta2": options.optimizer.beta2,
        "max_grad_norm": options.optimizer.clip,
        "optim": "adamw_torch",
        "use_cpu": not torch.cuda.is_available(),
        "bf16": bf16,
        "seed": options.seed,
        "logging_steps": options.log_every,
        "save_strategy": "no",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "ignore_data_skip": True,
        "gradient_checkpointing": False,
        "remove_unused_columns": False,
        **({} if options.fsdp is None else {"fsdp": True, "fsdp_config": options.fsdp}),
    }


def _last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end (the clock file comes last)."""
    from genprm.train.loop import STATE

    whole = [path for path in (out / "checkpoints").glob("checkpoint-*") if (path / STATE).exists()]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
