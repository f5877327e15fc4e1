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
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm import recipes
from genprm.errors import MissingDependency, ModelError
from genprm.recipes import GenerativeTraining, LabData, LlamaShape
from genprm.runs.configuration import Configuration
from genprm.runs.environment import environment
from genprm.train.pace import Pace
from genprm.train.rows import Batches, Survey, survey

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from genprm.engines.tokenizers import HFTokenizer
    from genprm.train.card import Facts

_EXTENT = ("checkpoint_minutes", "log_every")
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
    corpus = open_corpus(options.data, data or {}, report)
    _seed(options.seed)
    model, tokenizer = _open_model(options, corpus, out, report)
    rows = rows_of(corpus, tokenizer, options.mask_code_output)
    measured = survey(rows, options.survey_rows, options.max_length, options.data.grow_over)
    report(measured.describe(options.max_length))
    _write_start(out, config, tokenizer.hf)
    batches = Batches.sized(rows, options.tokens_per_batch, measured, options.max_length, options.seed)
    return _run(options, out, model, tokenizer.hf, batches, measured, loaded.name, report)


def configuration(name: str, options: GenerativeTraining) -> Configuration:
    """The training as a run directory's configuration. Where the data lies is not identity: copies move."""
    everything = options.model_dump(mode="json")
    extent = {key: everything.pop(key) for key in _EXTENT}
    if isinstance(options.data, LabData):
        extent["gsm8k"] = everything["data"].pop("gsm8k")
        everything["data"]["with_gsm8k"] = options.data.gsm8k is not None
    return Configuration("train", {"recipe": name, **everything}, extent)


def precision(wanted: str) -> tuple[bool, str]:
    """Whether to compute in bf16, and one line that says why."""
    import torch

    if wanted != "auto":
        return wanted == "bf16", f"training in {wanted}, as the recipe says"
    if torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported()
        return bf16, f"training on {torch.cuda.get_device_name()} in {'bf16' if bf16 else 'fp32'}"
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known.get("avx512_bf16") or known.get("amx_bf16"):
        return True, "this CPU has bf16 instructions: training in bf16"
    return False, "this CPU has no bf16 instructions: training in fp32, expect two to three times the time"


def processor() -> str:
    """The accelerator's name, or the processor's and its number of cores."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return f"{known.get('cpu_name') or 'a CPU'}, {os.cpu_count()} cores"


def _plan(recipe: recipes.Recipe, options: GenerativeTraining) -> str:
    ends = [f"{options.max_steps} steps"] if options.max_steps else []
    ends += [f"{options.max_minutes:g} minutes"] if options.max_minutes else []
    what = options.model.base or f"a new Llama model of {parameters(options)[0] / 1e6:.1f}M parameters"
    data = options.data
    share = data.gsm8k_share if isinstance(data, LabData) else 0.0
    gsm8k = f" and {data.gsm8k} ({100 * share:.0f} %)" if isinstance(data, LabData) and share else ""
    plan = f"train {what} on {data.source} data{gsm8k}, seed {options.seed}, for {' or '.join(ends)}"
    if options.max_steps:
        tokens = options.max_steps * options.accumulate * options.tokens_per_batch
        plan += f" (at most {tokens / 1e6:.1f}M tokens"
        plan += f", about {tokens / recipe.data.mean_tokens:,.0f} rows)" if recipe.data else ")"
    return plan


def parameters(options: GenerativeTraining) -> tuple[int, int]:
    """(all, without embeddings) of a new model; (0, 0) for a base model."""
    shape = options.model.shape
    if shape is None:
        return 0, 0
    head = shape.hidden_size // shape.heads
    attention = shape.hidden_size * head * (2 * shape.heads + 2 * shape.kv_heads)
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size + 2 * shape.hidden_size
    body = shape.layers * layer + shape.hidden_size
    tables = 1 if shape.tie_embeddings else 2
    return body + tables * options.tokenizer.vocab_size * shape.hidden_size, body


def _require_extra() -> None:
    try:
        import trl  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error.name or "trl"), "train") from error


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)


def _open_model(
    options: GenerativeTraining, corpus: Any, out: Path, report: Callable[[str], None]
) -> tuple[PreTrainedModel, HFTokenizer]:
    from genprm.engines.tokenizers import HFTokenizer

    shape, base = options.model.shape, options.model.base
    if shape is None:
        from transformers import AutoModelForCausalLM

        tokenizer = HFTokenizer.from_folder(str(base))
        try:
            return AutoModelForCausalLM.from_pretrained(base), tokenizer
        except (OSError, ValueError) as error:
            raise ModelError(f"the base model '{base}' cannot be loaded: {str(error).splitlines()[0]}") from error
    from genprm.lab.tokenizer import train as train_tokenizer

    kept = out / "tokenizer"
    if kept.is_dir():
        from transformers import AutoTokenizer

        tokenizer = HFTokenizer(AutoTokenizer.from_pretrained(kept))
    else:
        begun = time.monotonic()
        conversations = options.tokenizer.conversations
        hf = train_tokenizer(corpus, vocab_size=options.tokenizer.vocab_size, conversations=conversations)
        report(
            f"tokenizer of {len(hf)} tokens trained on {conversations} conversations, {time.monotonic() - begun:.0f} s"
        )
        tokenizer = HFTokenizer(hf)
    return new_llama(shape, tokenizer.hf), tokenizer


def new_llama(shape: LlamaShape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A Llama model with random weights (of torch's random state)."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokens = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tie_embeddings,
        attn_implementation="sdpa",
        **tokens,
    )
    model: PreTrainedModel = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.95, top_k=20, **tokens)
    return model


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
    batches: Batches,
    measured: Survey,
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
    pace = Pace(options.schedule, max_steps=options.max_steps, max_minutes=options.max_minutes, spent_s=spent)
    progress = Progress(pace, out / "log" / "train.jsonl", options.checkpoint_minutes * 60, report, tokens=seen)
    with _quiet():
        trainer = Trainer(
            model=model,
            args=_arguments(options, out, bf16),
            train_dataset=_sample(batches),
            processing_class=tokenizer,
            callbacks=[progress],
            progress=progress,
            batches=batches,
            pace=pace,
            optimizer=options.optimizer,
            first_batch=step * options.accumulate * int(os.environ.get("WORLD_SIZE", "1")),
        )
        trainer.remove_callback(PrinterCallback)
        with progress.stoppable():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        folder = save_model(model, tokenizer, out / "model")
    steps = int(trainer.state.global_step)
    facts = Facts(
        name=name,
        options=options.model_dump(mode="json"),
        survey=measured,
        parameters=model.num_parameters(),
        precision="bf16" if bf16 else "fp32",
        steps=steps,
        tokens=progress.tokens,
        minutes=pace.elapsed_s / 60,
        loss=progress.last_loss,
        environment=environment(processor=processor()),
    )
    _write_end(out, folder, facts)
    report(f"{steps} steps in {pace.elapsed_s / 60:.1f} minutes; model in {folder}")
    return _finished(out)


def _write_end(out: Path, folder: Path, facts: Facts) -> None:
    """What a training leaves beside the weights; then nothing is left to continue from."""
    from genprm.train.card import write_card

    write_card(folder, facts)
    (out / "environment.json").write_text(json.dumps(facts.environment, indent=2) + "\n", encoding="utf-8")
    (out / "metrics.json").write_text(json.dumps(facts.figures(), indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def save_model(model: PreTrainedModel, tokenizer: Any, folder: Path) -> Path:
    """An ordinary model folder, weights in bf16."""
    import torch

    model.config.use_cache = True  # off while training
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # the library writes weights that only their owner may read
    return folder


def _finished(out: Path) -> Trained:
    figures = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return Trained(out / "model", figures["steps"], figures["minutes"], figures["loss"], figures["parameters"])


def _arguments(options: GenerativeTraining, out: Path, bf16: bool) -> Any:
    import torch
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(out / "checkpoints"),
        max_steps=options.max_steps or 10**9,
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
