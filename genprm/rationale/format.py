"""The GenPRM rationale format: the one owner of its tags, prefills and whitespace.

One assistant turn (released checkpoints depend on every byte)::

    <analyze>
    Let's analyze the Paragraph {t} step by step: ...
    </analyze>
    <verify>
    Let's use python code to find any potential error:
    ```python
    ...
    ```
    [Code Output]

    ```
    {stdout}
    ```
    ...more text, more code...
    </verify>
    <output>
    **Judgement**: $\\boxed{Yes}$
    </output>

The turn ends with a newline after ``</output>``. Analyze mode has no verify block, code-only mode no analyze block,
direct mode neither.

A ``Rationale`` is canonical by construction: its parts cannot hold what would end them early, so for every one
``parse(render(r, paragraph)).rationale == r`` (see ``grammar``), whatever its code printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from genprm.errors import InputError
from genprm.rationale.splice import neutralise
from genprm.types import Judgement, Segment

ANALYZE_PREFILL = "<analyze>\nLet's analyze the Paragraph {paragraph} step by step: "
ANALYZE_END = "</analyze>\n"
VERIFY_PREFILL = "<verify>\nLet's use python code to find any potential error:\n```python\n"
CODE_START = "```python\n"
CODE_END = "\n```\n"
OUTPUT_HEAD = "[Code Output]\n\n```\n"
OUTPUT_TAIL = "```\n"
VERIFY_END = "</verify>\n"
JUDGEMENT_PREFILL = "<output>\n**Judgement**: $\\boxed"
OUTPUT_END = "</output>\n"


@dataclass(frozen=True, slots=True)
class CodeRound:
    """One code block: the model's words before it, its source, and the spliced output."""

    source: str
    """Without fences and without the newline before the closing fence."""
    output: str
    """As spliced (see ``splice``): neutralised and ended with a newline here if it is not yet."""
    lead: str = ""
    """Text before the fence, empty for the first round, whose lead is the harness prefill."""

    def __post_init__(self) -> None:
        output = neutralise(self.output)
        object.__setattr__(self, "output", output if output.endswith("\n") else output + "\n")
        if CODE_START in self.source + "\n":
            raise InputError("a code block cannot hold the opening fence of another one; write it as two rounds")
        text = self.lead + CODE_START + self.source + CODE_END
        if _ends_early(self.source + CODE_END, CODE_END) or _ends_early(text, CODE_END):
            raise InputError(
                "a code block and the words before it cannot hold a line of three backquotes; leave it out"
            )
        _refuse(self.lead + CODE_START + self.source + "\n", "a code round", OUTPUT_END)
        _refuse(self.source + CODE_END, "a code block", OUTPUT_HEAD)
        _refuse(self.lead, "the words before a code block", VERIFY_END)


@dataclass(frozen=True, slots=True)
class Rationale:
    """One analyse / verify / output text for one step.

    ``analysis`` is None in code-only and direct mode; ``rounds`` is empty in analyze and direct mode.
    """

    analysis: str | None
    """What the model wrote after the prefill, without the newline before ``</analyze>``."""
    rounds: tuple[CodeRound, ...]
    judgement: Judgement | None
    """None where the text has no output block."""
    closing: str = ""
    """Text between the last code output and ``</verify>``: empty or ends with a newline."""

    def __post_init__(self) -> None:
        if self.analysis is not None:
            _refuse(self.analysis + "\n", "an analysis", ANALYZE_END)
        if self.rounds and self.rounds[0].lead:
            raise InputError("the first code round has no words of its own before it; put them into the analysis")
        if self.closing and not (self.rounds and self.closing.endswith("\n")):
            raise InputError("closing words follow a code output and end with a newline; add the round or the newline")
        _refuse(self.closing, "the closing words", CODE_START, VERIFY_END, CODE_END, OUTPUT_END)


def turn_segments(rationale: Rationale, paragraph: int, *, execute: bool = True) -> tuple[Segment, ...]:
    """The turn as segments, exactly as the dialogue produces it at inference; ``paragraph`` is the step index + 1.

    Without ``execute`` the model writes the code outputs too, so all after the first fence is one model segment.
    """
    parts: list[Segment] = []
    if rationale.analysis is not None:
        parts.append(Segment("harness", ANALYZE_PREFILL.format(paragraph=paragraph)))
        parts.append(Segment("model", rationale.analysis + "\n" + ANALYZE_END))
    if rationale.rounds:
        parts.append(Segment("harness", VERIFY_PREFILL))
        verify = _verify_segments(rationale)
        parts.extend(verify if execute else [Segment("model", "".join(part.text for part in verify))])
    elif rationale.judgement is not None:
        parts.append(Segment("harness", JUDGEMENT_PREFILL))
        parts.append(Segment("model", f"{{{rationale.judgement}}}$\n{OUTPUT_END}"))
    return tuple(parts)


def render(rationale: Rationale, paragraph: int) -> str:
    """The turn as text; ``paragraph`` is the step index + 1."""
    return "".join(segment.text for segment in turn_segments(rationale, paragraph))


def output_block(judgement: Judgement) -> str:
    """The block that ends a turn."""
    return f"{JUDGEMENT_PREFILL}{{{judgement}}}$\n{OUTPUT_END}"


def cut(segments: tuple[Segment, ...], start: int, stop: int | None = None) -> tuple[Segment, ...]:
    """The segments of ``text[start:stop]``, where text is their joined text.

    A segment that is cut loses its ids: without a tokenizer nobody knows whether a token ends there.
    """
    parts: list[Segment] = []
    position = 0
    for segment in segments:
        end = position + len(segment.text)
        low, high = max(start - position, 0), len(segment.text) if stop is None else max(stop - position, 0)
        piece = segment.text[low:high]
        if piece == segment.text:
            parts.append(segment)
        elif piece:
            parts.append(Segment(segment.author, piece))
        position = end
    return tuple(part for part in parts if part.text)


def _verify_segments(rationale: Rationale) -> list[Segment]:
    parts: list[Segment] = []
    for index, code in enumerate(rationale.rounds):
        opening = code.lead + CODE_START if index else ""
        parts.append(Segment("model", opening + code.source + CODE_END))
        parts.append(Segment("harness", OUTPUT_HEAD))
        parts.append(Segment("code", code.output))
        parts.append(Segment("harness", OUTPUT_TAIL))
    verdict = "" if rationale.judgement is None else output_block(rationale.judgement)
    parts.append(Segment("model", rationale.closing + VERIFY_END + verdict))
    return parts


def _ends_early(text: str, end: str) -> bool:
    return text.find(end) < len(text) - len(end)


def _refuse(text: str, name: str, *ends: str) -> None:
    for end in ends:
        if end in text:
            raise InputError(f"{name} cannot hold {end!r}, which ends a part of a rationale; leave it out")
