"""Generative verifiers and policies: supervised training on what the model writes, by TRL's ``SFTTrainer``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm.prompts import Row
from genprm.train.card import Facts, write_card
from genprm.train.data import open_corpus, rows_of
from genprm.train.models import opened_model, opened_tokenizer, save_model, set_seed, with_adapters
from genprm.train.options.rows import FINITE, GenerativeTraining
from genprm.train.rows import Batches, survey
from genprm.train.running import Prepared, processes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prepare(options: GenerativeTraining, data: Mapping[str, str], out: Path, report: Callable[[str], None]) -> Prepared:
    """Corpus, tokenizer, model and batches of a recipe."""
    from trl import SFTConfig

    from genprm.engines.tokenizers import HFTokenizer
    from genprm.train.heldout import HeldOut, by_votes, read_heldout
    from genprm.train.trainer import PackedTrainer, Trainer

    solutions = read_heldout(options.evaluation)
    corpus = open_corpus(options.data, data, report)
    set_seed(options.seed)
    tokenizer = opened_tokenizer(options, corpus, out, report)
    rows = rows_of(corpus, HFTokenizer(tokenizer), options.mask_code_output)
    measured = survey(rows, *_surveyed(options, corpus))
    report(measured.describe(options.max_length))
    size = options.rows_per_batch or options.tokens_per_batch / measured.mean_tokens
    finite = None if options.epochs is None else len(getattr(corpus, "examples", ()))
    batches = Batches.sized(rows, size, options.max_length, options.seed, finite)

    def save(model: Any, folder: Path) -> Path:
        return save_model(model, tokenizer, folder)

    evaluated = options.evaluation
    kind = PackedTrainer if options.packing else Trainer
    return Prepared(
        model=_model(options, tokenizer),
        tokenizer=tokenizer,
        batches=batches,
        survey=measured,
        rows=measured.digest if isinstance(options.data, FINITE) else None,
        max_steps=_steps(options, batches),
        trainer=partial(kind, train_dataset=_sample(batches)),
        arguments=partial(SFTConfig, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True}),
        finish=_finish,
        heldout=None
        if evaluated is None
        else HeldOut(evaluated, solutions, out, save, by_votes(evaluated, options.seed), report),
    )


def _finish(folder: Path, facts: Facts) -> Mapping[str, Any]:
    write_card(folder, facts)
    return {}


def _surveyed(options: GenerativeTraining, corpus: Any) -> tuple[int, int, int]:
    """How many rows are looked at, how long they may be, and from which on: all of a data set, else full-grown ones."""
    if isinstance(options.data, FINITE):
        return len(corpus.examples), options.max_length, 0
    return options.survey_rows, options.max_length, options.data.grow_over


def _steps(options: GenerativeTraining, batches: Batches[Row]) -> int | None:
    if options.epochs is None:
        return options.max_steps
    return batches.steps(options.epochs, options.accumulate * processes())


def _model(options: GenerativeTraining, tokenizer: PreTrainedTokenizerBase) -> Any:
    from transformers import GenerationConfig

    from genprm.scorers.models import causal_class

    model = opened_model(options, tokenizer, causal_class)
    if options.model.base is None:
        ends = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.95, top_k=20, **ends)
    return with_adapters(model, options.model.lora)


def _sample(batches: Batches[Row]) -> Any:
    """The first rows, for TRL's look at the columns; the training's own batches come from ``get_train_dataloader``."""
    from datasets import Dataset

    first = next(batches.iterate())
    return Dataset.from_list([{"input_ids": list(row.input_ids), "labels": list(row.labels)} for row in first])
