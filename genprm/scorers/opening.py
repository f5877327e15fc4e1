"""Opens a scorer by name. A model that ``genprm train`` made says itself, in ``scorer.json``, how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm import resources
from genprm.errors import InputError, ModelError
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


def require_there(model: str) -> None:
    """Raises ``ModelError`` for what can only be a folder and is none; what a hub name means shows only in loading."""
    place = str(resources.model(model))
    if (place.startswith((".", "/", "~")) or place.count("/") != 1) and not Path(place).expanduser().is_dir():
        raise ModelError(f"the model folder '{model}' does not exist; give a folder, a shipped model or a hub name")


def require_generative(model: str) -> None:
    """Raises ``InputError`` for a folder that says that it is read in one pass: it writes nothing."""
    if (said := reading_of(model)) is not None:
        raise InputError(
            f"{model} is a discriminative model ({SAYS} says {said[0]}): it writes no critique and casts no votes; "
            "score with genprm verify or open_scorer, and give a generative verifier here"
        )


def require_fitting(model: str, scorer: str, score: str) -> None:
    """Raises ``InputError`` where an outcome model would be asked for another score of a solution than its last."""
    if scorer == "auto" and (reading_of(model) or ("",))[0] == "orm" and score != "last":
        raise InputError(
            f"{model} is an outcome model: what it says of a solution is its last reward, and those before are of "
            f"solutions that end there; take the score 'last', not '{score}'"
        )


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
        if (said := reading_of(model)) not in (None, (kind, format)):
            raise InputError(f"{model} says in {SAYS} that it is read as {said}, not as {(kind, format)}; leave the "
                             f"scorer '{scorer}' out")  # fmt: skip
    else:
        kind, format = reading_of(model) or ("", "math-shepherd")
    return _KINDS[kind](model, format, **options)
