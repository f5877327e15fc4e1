"""``genprm train``: a recipe in, an ordinary Hugging Face model folder out.

Kinds prepare their own data, model and trainer (``generative``, ``discriminative``, ``grpo``), and ``running`` takes
them to the end; ``raft`` is a loop around such trainings.

The output folder of a training::

    config.yaml        the resolved recipe; another recipe is refused, the same one continues
    model/             the model folder
    metrics.json       written last: the training has ended
    ...                see ``running``, and ``raft`` for its own
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genprm import recipes
from genprm.errors import InputError, MissingDependency
from genprm.records.hub import require_place
from genprm.runs.configuration import Configuration
from genprm.runs.directory import begun
from genprm.runs.lock import hold
from genprm.train.kinds import AnyTraining, training
from genprm.train.models import Report
from genprm.train.options.policies import GrpoTraining, RaftTraining
from genprm.train.options.rows import GenerativeTraining, LabData, StepFileData, StepTraining
from genprm.train.plans import plan
from genprm.train.running import Prepared, Runnable, Trained, finished, is_first, processes, run, write_start

OWN = ("tokenizer", "tokenizer.part", "rows.digest")
"""What a training may leave that was killed before its configuration was written."""
_EXTENT = ("checkpoint_minutes", "log_every", "tensorboard")
"""Options that do not change what comes out, so they may change when a training goes on."""


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
    options = _with_copies(training(loaded, recipe), data or {})
    config = configuration(loaded.name, options)
    if (stored := begun(out, OWN)) is not None:
        config.require_same(stored, out)
    if dry_run:
        for sentence in (*_missing(options), *_missing_packages()):
            report(f"not there yet: {sentence}")
        report(plan(loaded, options))
        return None
    if (out / "metrics.json").exists():
        report(f"{out} holds a finished training of this recipe; its model is {out / 'model'}")
        return finished(out)
    if missing := _missing_packages():
        raise missing[0]
    if isinstance(options, RaftTraining | GrpoTraining) and processes() > 1:
        raise InputError(f"kind {options.kind} trains in one process, not {processes()}; start it without a launcher")
    if isinstance(options, RaftTraining):
        from genprm.train import raft

        return raft.run(options, config, loaded.name, out, report)
    prepared = _prepare(options, data or {}, out, report)
    if not is_first():
        return run(options, out, prepared, loaded.name, report)
    with hold(out):
        if (out / "metrics.json").exists():
            return finished(out)  # by another process meanwhile
        write_start(out, config, prepared.tokenizer, prepared.rows)
        return run(options, out, prepared, loaded.name, report)


def _with_copies(options: AnyTraining, data: Mapping[str, str]) -> AnyTraining:
    """The options with the local copy of the labelled steps, if one is named. Raises ``InputError``."""
    if isinstance(options, RaftTraining | GrpoTraining) and data:
        raise InputError(
            f"--data names '{min(data)}', which a recipe of kind {options.kind} does not read; say problems.place=FILE"
        )
    if "steps" not in data:
        return options
    if not isinstance(options, StepTraining):
        raise InputError("--data names 'steps', which a recipe of kind generative does not read")
    return options.model_copy(update={"data": StepFileData(source="files", places=(data["steps"],))})


def _missing(options: AnyTraining) -> list[str]:
    """What a recipe reads and is not there, each in a sentence."""
    found = []
    for part in (getattr(options, name, None) for name in ("data", "problems", "heldout", "evaluation")):
        named = (getattr(part, name, None) for name in ("path", "place", "data"))
        for place in (*named, *getattr(part, "places", ())):
            try:
                require_place((place or "").removeprefix("hub:"))
            except InputError as error:
                found.append(str(error))
    return found


def _prepare(options: Runnable, data: Mapping[str, str], out: Path, report: Report) -> Prepared:
    from genprm.train import discriminative, generative, grpo

    if isinstance(options, GenerativeTraining):
        return generative.prepare(options, data, out, report)
    if isinstance(options, GrpoTraining):
        return grpo.prepare(options, out, report)
    return discriminative.prepare(options, data, out, report)


def configuration(name: str, options: AnyTraining) -> Configuration:
    """The training as a run directory's configuration. Where the data lies is not identity: copies move."""
    everything = options.model_dump(mode="json")
    extent: dict[str, Any] = {key: everything.pop(key) for key in _EXTENT}
    if isinstance(options, GenerativeTraining | StepTraining) and isinstance(options.data, LabData):
        extent["gsm8k"] = everything["data"].pop("gsm8k")
        everything["data"]["with_gsm8k"] = options.data.gsm8k is not None
    return Configuration("train", {"recipe": name, **everything}, extent)


def _missing_packages() -> list[MissingDependency]:
    """What training needs and is not installed."""
    return [MissingDependency(name, "train") for name in ("accelerate", "trl") if find_spec(name) is None]
