"""Runs a prepared training in its folder: from the last checkpoint where there is one, to the model folder.

log/train.jsonl    loss, learning rate, speed, and what the kind adds
checkpoints/       the newest one, until the training has ended
model/             weights in bf16 safetensors, tokenizer, chat template, generation_config, README.md
environment.json   versions, processor, precision
metrics.json       written last: the training has ended
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genprm.errors import InputError, MissingDependency
from genprm.records.lines import replace_text
from genprm.runs.configuration import Configuration
from genprm.runs.environment import environment
from genprm.train.models import Report, precision, processor, quiet, save_model
from genprm.train.options.policies import GrpoTraining
from genprm.train.options.rows import GenerativeTraining, StepTraining
from genprm.train.pace import Pace
from genprm.train.rows import Survey

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from genprm.train.card import Facts
    from genprm.train.heldout import HeldOut

ROWS = "rows.digest"
_CHECKPOINT = ("optimizer.pt", "scheduler.pt", "trainer_state.json")
Runnable = GenerativeTraining | StepTraining | GrpoTraining


class BatchSource(Protocol):
    """Batches without end; what batch n is depends on n alone."""

    def iterate(self, first: int = 0, stride: int = 1) -> Iterator[Any]:
        """Batch ``first``, ``first + stride`` and so on."""


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
    batches: BatchSource
    survey: Survey | None
    """Of the rows, where it trains on rows."""
    max_steps: int | None
    trainer: Callable[..., Any]
    """Makes the trainer, of the keywords of ``loop.Paced`` and the library's."""
    arguments: Callable[..., Any]
    """Makes the trainer's arguments, of the library's keywords."""
    finish: Callable[[Path, Facts], Mapping[str, Any]]
    """Adds to the finished model folder, its card too; returns what ``metrics.json`` shall say besides."""
    begin: Callable[[], object] = tuple
    """Done before the first step, and again when a training goes on."""
    rows: str | None = None
    """Digest of a data set, which must be the same when a training goes on."""
    heldout: HeldOut | None = None
    """Evaluates while it trains; then the best weights are kept, not the last."""
    logged: tuple[str, ...] = ()
    """Figures of the trainer that the log shall have."""


def write_start(out: Path, config: Configuration, tokenizer: Any, rows: str | None = None) -> None:
    """What stands in the folder before the first step. ``rows``: the digest of what is trained on.

    Raises ``InputError`` where the training began on other rows.
    """
    if rows is not None and (out / ROWS).exists() and (out / ROWS).read_text(encoding="utf-8").strip() != rows:
        raise InputError(
            f"the rows that {out} was begun on have changed; give them as they were, or choose another --out folder"
        )
    (out / "log").mkdir(parents=True, exist_ok=True)
    if not (out / "tokenizer").is_dir():
        # Whole or not at all: a later run takes the folder as it stands.
        tokenizer.save_pretrained(out / "tokenizer.part")
        (out / "tokenizer.part").rename(out / "tokenizer")
    if rows is not None:
        replace_text(out / ROWS, rows + "\n")
    replace_text(out / "config.yaml", config.dump())


def run(options: Runnable, out: Path, prepared: Prepared, name: str, report: Report) -> Trained:
    """Train to the end. Ctrl-C raises ``KeyboardInterrupt`` behind a checkpoint, from which the next call goes on."""
    from transformers import PrinterCallback

    from genprm.train.card import Facts
    from genprm.train.loop import STATE, Progress, require_finite

    prepared.begin()
    bf16, line = precision(options.precision)
    report(line)
    checkpoint = _last_checkpoint(out)
    step, spent, seen = 0, 0.0, 0
    if checkpoint is not None:
        step = int(checkpoint.name.rpartition("-")[2])
        clock = _whole(checkpoint, STATE, sharded=options.fsdp is not None)
        spent, seen = float(clock["elapsed_s"]), int(clock["tokens"])
        report(f"continuing from step {step}, after {spent / 60:.1f} minutes")
    pace = Pace(options.schedule, max_steps=prepared.max_steps, max_minutes=options.max_minutes, spent_s=spent)
    progress = Progress(pace, out / "log" / "train.jsonl", options.checkpoint_minutes * 60, report, tokens=seen)
    progress.names = prepared.logged
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
        if not trainer.is_fsdp_enabled:  # shards are of several processes
            require_finite(trainer.accelerator.unwrap_model(trainer.model), options.optimizer.learning_rate)
        if heldout is not None and is_first():
            heldout.evaluate(trainer.accelerator.unwrap_model(trainer.model), steps)
        folder = _save_end(trainer, tokenizer, out, heldout)
    if is_first():
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
        _write_end(out, folder, facts, prepared)
    trainer.accelerator.wait_for_everyone()
    report(f"{steps} steps in {pace.elapsed_s / 60:.1f} minutes; model in {folder}")
    return finished(out)


def _curves(options: Runnable, out: Path) -> list[Any]:
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
        if is_first() and (out / "best").exists():  # else a run that was killed here has moved it
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


def _write_end(out: Path, folder: Path, facts: Facts, prepared: Prepared) -> None:
    """What a training leaves beside the weights; then nothing is left to continue from."""
    found = prepared.finish(folder, facts)
    replace_text(out / "environment.json", json.dumps(facts.environment, indent=2) + "\n")
    replace_text(out / "metrics.json", json.dumps({**facts.figures(), **found}, indent=2) + "\n")
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def read_figures(path: Path) -> dict[str, Any]:
    """A JSON file that a training wrote. Raises ``InputError`` where it is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it and run the same command again") from error
    return found


def finished(out: Path) -> Trained:
    """What a training left that has ended. Raises ``InputError`` where that is damaged."""
    figures = read_figures(out / "metrics.json")
    if not (out / "model").is_dir():
        raise InputError(
            f"{out} has the figures of a finished training and no model; remove {out / 'metrics.json'} and run the "
            "same command again"
        )
    return Trained(out / "model", figures["steps"], figures["minutes"], figures["loss"], figures["parameters"])


def _arguments(options: Runnable, prepared: Prepared, out: Path, bf16: bool) -> dict[str, Any]:
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


def _whole(checkpoint: Path, clock: str, *, sharded: bool) -> dict[str, Any]:
    """The clock of a checkpoint. Raises ``InputError`` for one that lacks a part, from which nothing could go on.

    ``sharded``: weights and optimizer lie in parts of their own, which the library looks after.
    """
    from safetensors import SafetensorError, safe_open

    remedy = f"remove {checkpoint.parent} and run the same command again to begin anew"
    if missing := [name for name in _CHECKPOINT[sharded:] if not (checkpoint / name).exists()]:
        raise InputError(f"the checkpoint {checkpoint} lacks {missing[0]}; {remedy}")
    try:
        for weights in checkpoint.glob("*.safetensors"):
            with safe_open(weights, framework="pt"):
                pass
        json.loads((checkpoint / _CHECKPOINT[-1]).read_text(encoding="utf-8"))
        found: dict[str, Any] = json.loads((checkpoint / clock).read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"the checkpoint {checkpoint} is damaged ({error}); {remedy}") from error


def _last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end (the clock file comes last)."""
    from genprm.train.loop import STATE

    whole = [path for path in (out / "checkpoints").glob("checkpoint-*") if (path / STATE).exists()]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
