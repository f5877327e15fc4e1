"""``genprm train`` for generative verifiers and policies: a recipe in, an ordinary Hugging Face model folder out.

The output folder of a training::

    config.yaml        the resolved recipe; another recipe is refused, the same one continues
    environment.json   versions, processor, precision
    log/train.jsonl    loss, learning rate, speed
    checkpoints/       the newest one, until the training has ended
    model/             weights in bf16 safetensors, tokenizer, chat template, generation_config, README.md
    metrics.json       written last: the training has ended
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm import recipes
from genprm.errors import MissingDependency
from genprm.recipes import ConversationData, GenerativeTraining, LabData
from genprm.runs.configuration import Configuration
from genprm.runs.environment import environment
from genprm.train.models import open_model, parameters, precision, processor, save_model
from genprm.train.pace import Pace
from genprm.train.rows import Batches, Survey, survey
from genprm.types import Solution

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from genprm.train.card import Facts
    from genprm.train.heldout import HeldOut

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

    ``data`` names local copies, such as ``{"gsm8k": "train.jsonl"}``. A dry run reports the plan, reads and writes
    nothing else, and returns None. ``report`` gets one line at a time. Raises ``RecipeError``, ``ModelError`` and
    ``IdentityError`` before anything is written.
    """
    from genprm.train.data import check_names, open_corpus, rows_of

    check_names(data or {})
    loaded = recipes.load(recipe, overrides)
    options = recipes.generative(loaded, recipe)
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
    heldout = _heldout(options)
    corpus = open_corpus(options.data, data or {}, report)
    _seed(options.seed)
    model, tokenizer = open_model(options, corpus, out, report)
    rows = rows_of(corpus, tokenizer, options.mask_code_output)
    count, first = _surveyed(options, corpus)
    measured = survey(rows, count, options.max_length, first)
    report(measured.describe(options.max_length))
    _write_start(out, config, tokenizer.hf)
    size = options.rows_per_batch or options.tokens_per_batch / measured.mean_tokens
    batches = Batches.sized(rows, size, options.max_length, options.seed)
    prepared = _Prepared(batches, measured, _steps(options, corpus, batches), heldout)
    return _run(options, out, model, tokenizer.hf, prepared, loaded.name, report)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is trained and evaluated on."""

    batches: Batches
    survey: Survey
    steps: int | None
    """After so many of the optimizer the training ends, if not by the clock before."""
    heldout: tuple[Solution, ...]


def _heldout(options: GenerativeTraining) -> tuple[Solution, ...]:
    if options.evaluation is None:
        return ()
    from genprm.train.heldout import read_heldout

    return read_heldout(options.evaluation)


def _surveyed(options: GenerativeTraining, corpus: Any) -> tuple[int, int]:
    """How many rows are looked at beforehand, and from which on: all of a data set, else some that are full-grown."""
    if isinstance(options.data, ConversationData):
        return len(corpus.examples), 0
    return options.survey_rows, options.data.grow_over


def _steps(options: GenerativeTraining, corpus: Any, batches: Batches) -> int | None:
    if options.epochs is None:
        return options.max_steps
    rows = batches.rows_per_batch * options.accumulate * _processes()
    return math.ceil(options.epochs * len(corpus.examples) / rows)


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def configuration(name: str, options: GenerativeTraining) -> Configuration:
    """The training as a run directory's configuration. Where the data lies is not identity: copies move."""
    everything = options.model_dump(mode="json")
    extent = {key: everything.pop(key) for key in _EXTENT}
    if isinstance(options.data, LabData):
        extent["gsm8k"] = everything["data"].pop("gsm8k")
        everything["data"]["with_gsm8k"] = options.data.gsm8k is not None
    return Configuration("train", {"recipe": name, **everything}, extent)


def _plan(recipe: recipes.Recipe, options: GenerativeTraining) -> str:
    ends = [f"{options.max_steps} steps"] if options.max_steps else []
    ends += [f"{options.max_minutes:g} minutes"] if options.max_minutes else []
    what = options.model.base or f"a new Llama model of {parameters(options)[0] / 1e6:.1f}M parameters"
    if options.epochs:
        ends.append(f"{options.epochs:g} epochs")
    data = options.data
    share = data.gsm8k_share if isinstance(data, LabData) else 0.0
    gsm8k = f" and {data.gsm8k} ({100 * share:.0f} %)" if isinstance(data, LabData) and share else ""
    name = f"the conversations of {data.path}" if isinstance(data, ConversationData) else f"{data.source} data{gsm8k}"
    plan = f"train {what} on {name}, seed {options.seed}, for {' or '.join(ends)}"
    if options.max_steps:
        tokens = options.max_steps * options.accumulate * options.tokens_per_batch
        plan += f" (at most {tokens / 1e6:.1f}M tokens"
        plan += f", about {tokens / recipe.data.mean_tokens:,.0f} rows)" if recipe.data else ")"
    elif options.epochs and recipe.data:
        plan += f" (about {options.epochs * recipe.data.rows * recipe.data.mean_tokens / 1e6:,.0f}M tokens)"
    return plan


def _require_extra() -> None:
    try:
        import trl  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error.name or "trl"), "train") from error


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)


def _write_start(out: Path, config: Configuration, tokenizer: Any) -> None:
    (out / "log").mkdir(parents=True, exist_ok=True)
    if not (out / "tokenizer").is_dir():
        # Whole or not at all: a later run takes the folder as it stands.
        tokenizer.save_pretrained(out / "tokenizer.part")
        (out / "tokenizer.part").rename(out / "tokenizer")
    (out / "config.yaml").write_text(config.dump(), encoding="utf-8")


def _run(
    options: GenerativeTraining,
    out: Path,
    model: PreTrainedModel,
    tokenizer: Any,
    prepared: _Prepared,
    name: str,
    report: Callable[[str], None],
) -> Trained:
    from transformers import PrinterCallback

    from genprm.train.card import Facts
    from genprm.train.trainer import STATE, Progress, Trainer

    bf16, line = precision(options.precision)
    report(line)
    checkpoint = _last_checkpoint(out)
    step, spent, seen = 0, 0.0, 0
    if checkpoint is not None:
        step = int(checkpoint.name.rpartition("-")[2])
        clock = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        spent, seen = float(clock["elapsed_s"]), int(clock["tokens"])
        report(f"continuing from step {step}, after {spent / 60:.1f} minutes")
    pace = Pace(options.schedule, max_steps=prepared.steps, max_minutes=options.max_minutes, spent_s=spent)
    progress = Progress(pace, out / "log" / "train.jsonl", options.checkpoint_minutes * 60, report, tokens=seen)
    heldout = _evaluation(options, prepared.heldout, out, tokenizer, report)
    with _quiet():
        trainer = Trainer(
            model=model,
            args=_arguments(options, prepared.steps, out, bf16),
            train_dataset=_sample(prepared.batches),
            processing_class=tokenizer,
            callbacks=[*([] if heldout is None else [heldout]), *_curves(options, out), progress],
            progress=progress,
            batches=prepared.batches,
            pace=pace,
            optimizer=options.optimizer,
            first_batch=step * options.accumulate * _processes(),
            packing=options.packing,
        )
        trainer.remove_callback(PrinterCallback)
        if heldout is not None:
            heldout.log = trainer.log
        with progress.stoppable():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        steps = int(trainer.state.global_step)
        if heldout is not None:
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
    if trainer.is_world_process_zero():
        _write_end(out, folder, facts)
    trainer.accelerator.wait_for_everyone()
    report(f"{steps} steps in {pace.elapsed_s / 60:.1f} minutes; model in {folder}")
    return _finished(out)


def _evaluation(
    options: GenerativeTraining,
    solutions: tuple[Solution, ...],
    out: Path,
    tokenizer: Any,
    report: Callable[[str], None],
) -> HeldOut | None:
    if options.evaluation is None:
        return None
    from genprm.train.heldout import HeldOut

    def save(model: Any, folder: Path) -> Path:
        return save_model(model, tokenizer, folder)

    return HeldOut(options.evaluation, solutions, out, save, options.seed, report)


def _curves(options: GenerativeTraining, out: Path) -> list[Any]:
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
        if trainer.is_world_process_zero():
            shutil.rmtree(folder, ignore_errors=True)
            (out / "best").rename(folder)
        return folder
    if trainer.is_fsdp_enabled:
        trainer.save_model(str(folder))  # gathers the shards; every process takes part
        return folder
    if trainer.is_world_process_zero():
        save_model(trainer.accelerator.unwrap_model(trainer.model), tokenizer, folder)
    return folder


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


def _arguments(options: GenerativeTraining, steps: int | None, out: Path, bf16: bool) -> Any:
    import torch
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(out / "checkpoints"),
        max_steps=steps or 10**9,
        gradient_accumulation_steps=options.accumulate,
        per_device_train_batch_size=1,
        learning_rate=options.optimizer.learning_rate,
        weight_decay=options.optimizer.weight_decay,
        adam_beta1=options.optimizer.beta1,
        adam_beta2=options.optimizer.beta2,
        max_grad_norm=options.optimizer.clip,
        optim="adamw_torch",
        use_cpu=not torch.cuda.is_available(),
        bf16=bf16,
        seed=options.seed,
        logging_steps=options.log_every,
        save_strategy="no",
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        ignore_data_skip=True,
        gradient_checkpointing=False,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        **({} if options.fsdp is None else {"fsdp": "full_shard auto_wrap", "fsdp_config": options.fsdp}),
    )


def _sample(batches: Batches) -> Any:
    """The first rows, for TRL's look at the columns; the training's own batches come from ``get_train_dataloader``."""
    from datasets import Dataset

    first = next(batches.iterate())
    return Dataset.from_list([{"input_ids": list(row.input_ids), "labels": list(row.labels)} for row in first])


def _last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end (the clock file comes last)."""
    from genprm.train.trainer import STATE

    whole = [path for path in (out / "checkpoints").glob("checkpoint-*") if (path / STATE).exists()]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own lines and bars off the terminal; ours say it all."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
