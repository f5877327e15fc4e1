"""Opens a scorer by name. A model that ``genprm train`` made says itself, in ``scorer.json``, how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genprm.errors import InputError
from genprm.scorers.discriminative import HeadScorer, OutcomeScorer, TokenScorer
from genprm.stepformats import SAYS, FormatName, reading_of

if TYPE_CHECKING:
    from genprm.scorers.base import StepScorer

_KINDS = {"token": TokenScorer, "head": HeadScorer, "orm": OutcomeScorer}
PUBLISHED: Mapping[str, FormatName] = {
    "math-shepherd": "math-shepherd", "er-prm": "er-prm", "rlhflow": "rlhflow", "qwen-prm": "qwen",
}  # fmt: skip
"""Scorers by the checkpoints that they read, and their format."""
SCORERS = ("auto", "generative", *PUBLISHED)


def is_discriminative(model: str, scorer: str = "auto") -> bool:
    """Whether ``open_scorer`` would open a discriminative one. Raises ``InputError`` for a scorer that there is not."""
    if scorer not in SCORERS:
        raise InputError(f"there is no scorer '{scorer}'; the scorers are {', '.join(SCORERS)}")
    return scorer in PUBLISHED or (scorer == "auto" and reading_of(model) is not None)


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
