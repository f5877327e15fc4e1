"""Opens a scorer by name. A model that ``genprm train`` made says itself, in ``scorer.json``, how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm import resources
from genprm.errors import InputError
from genprm.scorers.discriminative import HeadScorer, OutcomeScorer, TokenScorer
from genprm.stepformats import READABLE, FormatName

if TYPE_CHECKING:
    from genprm.scorers.base import StepScorer

SAYS = "scorer.json"
_KINDS = {"token": TokenScorer, "head": HeadScorer, "orm": OutcomeScorer}
PUBLISHED: Mapping[str, FormatName] = {
    "math-shepherd": "math-shepherd", "er-prm": "er-prm", "rlhflow": "rlhflow", "qwen-prm": "qwen",
}  # fmt: skip
"""Scorers by the checkpoints that they read, and their format."""
SCORERS = ("auto", "generative", *PUBLISHED)


def write_reading(folder: Path, kind: str, format: FormatName) -> None:
    """Say in a model folder how it is read."""
    (folder / SAYS).write_text(json.dumps({"kind": kind, "format": format}) + "\n", encoding="utf-8")


def reading_of(model: str) -> tuple[str, FormatName] | None:
    """Kind and format that a local model folder states; none for a generative model. Raises ``InputError``."""
    try:
        path = Path(resources.model(model)).expanduser() / SAYS
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError):
        return None  # a hub name, no such file, or a name that is none: loading it says what is wrong
    try:
        said = json.loads(text)
        kind, format = said["kind"], said["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not say kind and format; name the scorer, or train the model again") from error
    if format not in READABLE.get(kind, ()):
        raise InputError(f"{path} names kind '{kind}' and format '{format}', which do not go together; train it again")
    return kind, format


def is_discriminative(model: str, scorer: str = "auto") -> bool:
    """Whether ``open_scorer`` would open a discriminative one. Raises ``InputError`` for a scorer that there is not."""
    if scorer not in SCORERS:
        raise InputError(f"there is no scorer '{scorer}'; the scorers are {', '.join(SCORERS)}")
    return scorer in PUBLISHED or (scorer == "auto" and reading_of(model) is not None)


def open_scorer(model: str, scorer: str = "auto", **options: Any) -> StepScorer[Any]:
    """A scorer for a model folder or hub name. ``auto``: what the folder says of itself, else generative.

    ``options`` are those of ``Network`` (device, dtype, batch_tokens), or of ``Verifier`` for a generative one.
    Raises ``InputError`` and ``ModelError``.
    """
    if not is_discriminative(model, scorer):
        from genprm.scorers.generative import GenerativeScorer

        return GenerativeScorer(model, **options)
    if scorer in PUBLISHED:
        format = PUBLISHED[scorer]
        kind = "head" if format == "qwen" else "token"
    else:
        kind, format = reading_of(model) or ("", "math-shepherd")
    return _KINDS[kind](model, format, **options)
