"""Discriminative process reward models: two tokens at step tags, a head at "<extra_0>", an outcome at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from genprm.errors import InputError
from genprm.stepformats import FORMATS, QWEN, option_ids, write_reading
from genprm.train.card import Facts, write_card
from genprm.train.labelled import Examples, FileExamples, LabExamples, Texts, read_examples, require_outcomes
from genprm.train.models import attention_of_short_rows, opened_model, opened_tokenizer, save_model, set_seed
from genprm.train.options.rows import StepFileData, StepTraining
from genprm.train.rows import Batches, survey
from genprm.train.running import Prepared, processes
from genprm.train.steprows import StepRow, StepRows


def prepare(options: StepTraining, data: Mapping[str, str], out: Path, report: Callable[[str], None]) -> Prepared:
    """Examples, tokenizer, model and batches of a recipe."""
    from transformers import TrainingArguments

    from genprm.engines.tokenizers import HFTokenizer
    from genprm.train.heldout import HeldOut, by_rewards, read_heldout
    from genprm.train.step_trainer import StepTrainer

    if "gsm8k" in data:
        raise InputError(f"--data names 'gsm8k', which a recipe of kind {options.kind} does not read; name steps=PATH")
    solutions = read_heldout(options.evaluation)
    examples = open_examples(options, report)
    set_seed(options.seed)
    added = QWEN.TAG if options.kind == "head" else None
    tokenizer = opened_tokenizer(options, Texts(examples), out, report, added=added)
    encoder = HFTokenizer(tokenizer)
    rows = StepRows(examples, encoder, options.reads, last_only=options.kind == "orm", targets=options.aims)
    first = getattr(options.data, "grow_over", 0)
    count = examples.size or options.survey_rows
    measured = survey(rows, count, options.max_length, first, trained_of=_places)
    report(measured.describe(options.max_length))
    batches = Batches.counted(rows, options.batch_size, options.max_length, options.seed, examples.size)

    def save(model: Any, folder: Path) -> Path:
        save_model(model, tokenizer, folder)
        write_reading(folder, options.kind, options.reads)
        return folder

    evaluated = options.evaluation
    squares = options.kind == "head" and options.aims == "soft"
    return Prepared(
        model=_model(options, tokenizer, encoder),
        tokenizer=tokenizer,
        batches=batches,
        survey=measured,
        rows=None if examples.size is None else measured.digest,
        max_steps=_steps(options, batches),
        trainer=partial(StepTrainer, loss="squares" if squares else "cross-entropy"),
        arguments=TrainingArguments,
        finish=partial(_finish, options),
        heldout=None if evaluated is None else HeldOut(evaluated, solutions, out, save, by_rewards, report),
    )


def _finish(options: StepTraining, folder: Path, facts: Facts) -> Mapping[str, Any]:
    write_reading(folder, options.kind, options.reads)
    write_card(folder, facts)
    return {}


def open_examples(options: StepTraining, report: Callable[[str], None]) -> Examples:
    """The solutions of a recipe. Raises ``InputError``."""
    data = options.data
    if isinstance(data, StepFileData):
        examples: FileExamples = read_examples(data.places, options.seed)
        if options.kind == "orm":
            require_outcomes(examples, ", ".join(data.places))
        report(f"data: {examples.size} solutions of {', '.join(data.places)}")
        return examples
    from genprm.lab.steps import StepCorpus

    report(f"data: micro-world solutions with the truth of every step, seed {data.seed}")
    return LabExamples(StepCorpus(**data.model_dump(exclude={"source"})))


def _model(options: StepTraining, tokenizer: Any, encoder: Any) -> Any:
    from genprm.scorers.models import head_class, token_class

    attention = attention_of_short_rows()
    if options.kind == "head":
        return opened_model(options, tokenizer, head_class, attention=attention)
    model = opened_model(options, tokenizer, token_class, attention=attention)
    model.right_and_wrong = option_ids(FORMATS[options.reads], encoder)
    return model


def _steps(options: StepTraining, batches: Batches[StepRow]) -> int | None:
    """The optimizer's steps, whichever of ``max_steps`` and ``epochs`` ends first."""
    if options.epochs is None or batches.size is None:
        return options.max_steps
    passes = batches.steps(options.epochs, options.accumulate * processes())
    return passes if options.max_steps is None else min(passes, options.max_steps)


def _places(row: StepRow) -> int:
    return len(row.places)
