"""Training rows of discriminative models: token ids, the places that are read, and what should be read there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genprm.errors import InputError
from genprm.stepformats import FORMATS, FormatName, StepFormat, TextTokenizer
from genprm.train.labelled import Example, Examples


@dataclass(frozen=True, slots=True)
class StepRow:
    """One solution. ``targets[i]`` is the probability of right at ``places[i]``; steps without a value have neither."""

    input_ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows of examples, made by the function that scoring uses too."""

    examples: Examples
    tokenizer: TextTokenizer
    format: FormatName
    last_only: bool = False
    """Only the outcome counts, at the last step's place."""
    targets: Literal["soft", "hard"] = "soft"

    def row(self, index: int) -> StepRow:
        example, format = self.examples.example(index), FORMATS[self.format]
        return step_row(example, format, self.tokenizer, self.last_only, self.targets)


def step_row(
    example: Example, format: StepFormat, tokenizer: TextTokenizer, last_only: bool, targets: Literal["soft", "hard"]
) -> StepRow:
    """Raises ``InputError`` where the outcome is asked for and not known."""
    marked = example.marked(format, tokenizer)
    pairs = list(zip(marked.places, example.values, strict=True))
    if last_only:
        if example.outcome is None:
            raise InputError("an outcome model is trained on whole solutions, and a row does not say how it ends")
        pairs = [(marked.places[-1], example.outcome)]
    known = [(place, value if targets == "soft" else float(value > 0)) for place, value in pairs if value is not None]
    return StepRow(marked.ids, tuple(place for place, _ in known), tuple(value for _, value in known))
