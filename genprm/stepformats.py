"""The text formats of step rewards: how a solution is put to a discriminative model, and where its rewards are read.

One owner for each format: the exporter writes its text, training makes rows and scoring makes prompts by the same
function, so steps and separators are tokenised the same way in all three.

=============  ==============================================  ==================================================
format         text                                            read at
=============  ==============================================  ==================================================
math-shepherd  problem, space, "Step 1: ... ки\\n" for each      the last token of every "ки"
er-prm         the same without the line breaks                the same
qwen           chat: system, problem, steps with "<extra_0>"   every "<extra_0>"
rlhflow        chat: user turn (step), assistant turn ("+")    the token before every "+"
=============  ==============================================  ==================================================

Each is the published one of the checkpoints it is named after (arXiv 2312.08935, 2412.11006, 2501.07301, and
RLHFlow's math-rm), to the byte. A solution that goes on has the ids of its beginning as a beginning, but for the last
token or two; causal models therefore score all steps in one pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from genprm import resources
from genprm.engines.base import Tokenizer
from genprm.errors import InputError, ModelError
from genprm.prompts import encode, render_policy, render_turns
from genprm.types import Segment

SAYS = "scorer.json"
"""In a model folder: how the model is read."""
FormatName = Literal["math-shepherd", "er-prm", "qwen", "rlhflow"]
_STEP_MARK = re.compile(r"[ \t]*(?:[*#]+[ \t]*)?Step[ \t]+\d+\b[ \t]*\**[ \t]*[:.]")


class TextTokenizer(Tokenizer, Protocol):
    """A tokenizer that also says where tokens end: what formats of one running text need."""

    @property
    def opening(self) -> tuple[int, ...]:
        """What the tokenizer itself puts before a text: the begin-of-sequence token of models that were trained so."""

    def encode_ends(self, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids of ``encode(text)``, and for each the character of ``text`` that it ends before."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A solution as token ids, and the place where the reward of each step is read."""

    ids: tuple[int, ...]
    places: tuple[int, ...]
    """Indices of ``ids``, one a step, rising."""


class StepFormat(Protocol):
    """How a solution is put to a model."""

    @property
    def name(self) -> FormatName: ...
    @property
    def options(self) -> tuple[str, str] | None:
        """What a causal model says next at a place: right or wrong; none where a head reads it."""

    def encode(self, problem: str, steps: Sequence[str], tokenizer: TextTokenizer) -> Marked:
        """Raises ``ModelError`` for a tokenizer that cannot say it."""


@dataclass(frozen=True, slots=True)
class StepTags:
    """One running text with the tag "ки" behind every step, the last included.

    The text is tokenised as a whole, as it was published. Nothing in it becomes a special token. Places are where
    *our* tags end, so a text that holds the tag itself (as much Russian text does) moves none of them.
    """

    name: FormatName
    separator: str
    """Behind a tag."""
    TAG: ClassVar[str] = "ки"
    options: ClassVar[tuple[str, str]] = (" +", " -")

    def text(self, problem: str, steps: Sequence[str]) -> str:
        """A step without a mark "Step k:" gets one."""
        return "".join(self._pieces(problem, steps))

    def encode(self, problem: str, steps: Sequence[str], tokenizer: TextTokenizer) -> Marked:
        pieces, ends, length = self._pieces(problem, steps), [], 0
        for piece in pieces:
            length += len(piece)
            ends.append(length - len(self.separator))
        return _at_ends("".join(pieces), ends[1:], tokenizer)

    def encode_text(self, text: str, tokenizer: TextTokenizer) -> Marked:
        """A text that has tags and nothing else that looks like one, such as ``text`` gives or was published.

        What stands behind the last tag has no place, and is left out. Raises ``InputError`` for a text without tags.
        """
        pieces, ends, length = re.split(f"(?<={self.TAG})\n?", text), [], 0
        if not pieces[-1].endswith(self.TAG):
            pieces.pop()
        for piece in pieces:
            length += len(piece)
            ends.append(length)
            length += len(self.separator)
        if not pieces:
            raise InputError(f"there is no tag '{self.TAG}' in the text: {text[-60:]!r}")
        return _at_ends(self.separator.join(pieces), ends, tokenizer)

    def _pieces(self, problem: str, steps: Sequence[str]) -> list[str]:
        return [f"{problem} ", *(f"{_marked(step, i)} {self.TAG}{self.separator}" for i, step in enumerate(steps))]


@dataclass(frozen=True, slots=True)
class ExtraTokens:
    """A chat: the policy's system turn, the problem, and the steps, each followed by the special token "<extra_0>"."""

    name: FormatName = "qwen"
    TAG: ClassVar[str] = "<extra_0>"
    options: ClassVar[None] = None

    def text(self, steps: Sequence[str]) -> str:
        """The assistant's turn."""
        return "".join(step + self.TAG for step in steps)

    def encode(self, problem: str, steps: Sequence[str], tokenizer: TextTokenizer) -> Marked:
        tag = tokenizer.encode(self.TAG, special=True)
        if len(tag) != 1:
            raise ModelError(f"the model's tokenizer has no token '{self.TAG}', which this format reads rewards at")
        ids = list(encode(render_policy(problem, (), tokenizer), tokenizer).ids)
        places = []
        for step in steps:
            ids += [*tokenizer.encode(step), *tag]
            places.append(len(ids) - 1)
        return Marked(tuple(ids), tuple(places))


@dataclass(frozen=True, slots=True)
class ChatTurns:
    """A chat: each step a user turn, the first with the problem, and every assistant turn a "+".

    The published evaluation puts "+" for every earlier step whatever was said of it, so one text serves all steps.
    Turns are stripped, as the models' template (Llama 3.1) strips them.
    """

    name: FormatName = "rlhflow"
    options: ClassVar[tuple[str, str]] = ("+", "-")

    def encode(self, problem: str, steps: Sequence[str], tokenizer: TextTokenizer) -> Marked:
        asked = [(f"{problem} {step}" if index == 0 else step).strip() for index, step in enumerate(steps)]
        ids: list[int] = []
        places = []
        for segment in render_turns(asked, [(Segment("harness", self.options[0]),)] * len(asked), tokenizer):
            if segment.author == "harness":
                places.append(len(ids) - 1)
            ids += encode((segment,), tokenizer).ids
        return Marked(tuple(ids[: places[-1] + 1]), tuple(places))


MATH_SHEPHERD = StepTags("math-shepherd", "\n")
ER_PRM = StepTags("er-prm", "")
QWEN = ExtraTokens()
RLHFLOW = ChatTurns()
FORMATS: dict[FormatName, StepFormat] = {one.name: one for one in (MATH_SHEPHERD, ER_PRM, QWEN, RLHFLOW)}
READABLE: dict[str, tuple[FormatName, ...]] = {
    "token": ("math-shepherd", "er-prm", "rlhflow"),
    "head": ("qwen",),
    "orm": ("math-shepherd", "er-prm"),
}
"""The formats that a kind of training can read; the first unless stated."""


def option_ids(format: StepFormat, tokenizer: Tokenizer) -> tuple[int, int]:
    """The tokens that say right and wrong: of " +", say, the last, as published code takes it."""
    if format.options is None:
        raise ModelError(f"the format '{format.name}' is read by a head, not by tokens; use a model with one")
    right, wrong = (tokenizer.encode(option)[-1] for option in format.options)
    if right == wrong:
        raise ModelError(f"the model's tokenizer has one token for both of {format.options}; use another model")
    return right, wrong


def _at_ends(text: str, ends: Sequence[int], tokenizer: TextTokenizer) -> Marked:
    """The text up to the last of ``ends``, read at the token that ends at each."""
    ids, stops = tokenizer.encode_ends(text[: ends[-1]] if ends else text)
    last = {stop: index for index, stop in enumerate(stops)}
    missing = [end for end in ends if end not in last]
    if missing:
        raise ModelError(
            f"the model's tokenizer joins a step tag with what follows it ({text[missing[0] - 8 : missing[0] + 8]!r}); "
            "use a format with line breaks, or another model"
        )
    opening = tokenizer.opening
    return Marked((*opening, *ids), tuple(len(opening) + last[end] for end in ends))


def _marked(step: str, index: int) -> str:
    return step if _STEP_MARK.match(step) else f"Step {index + 1}: {step}"


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


def require_generative(model: str) -> None:
    """Raises ``InputError`` for a folder that says that it is read in one pass: it writes nothing."""
    if (said := reading_of(model)) is not None:
        raise InputError(
            f"{model} is a discriminative model ({SAYS} says {said[0]}): it writes no critique and casts no votes; "
            "score with genprm verify or open_scorer, and give a generative verifier here"
        )
