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

The turn ends with a newline after ``</output>``.
"""

from __future__ import annotations

from dataclasses import dataclass

from genprm.types import Judgement, Segment

ANALYZE_PREFILL = "<analyze>\nLet's analyze the Paragraph {paragraph} step by step: "
ANALYZE_END = "</analyze>\n"
VERIFY_PREFILL = "<verify>\nLet's use python code to find any potential error:\n```python\n"
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
    """As spliced (see ``splice``): ends with a newline."""
    lead: str = ""
    """Text before the fence, empty for the first round, whose lead is the harness prefill."""


@dataclass(frozen=True, slots=True)
class Rationale:
    """One analyse / verify / output text for one step.

    ``analysis`` is None in code-only and direct mode; ``rounds`` is empty in analyze and direct mode.
    """

    analysis: str | None
    """What the model wrote after the prefill, without the newline before ``</analyze>``."""
    rounds: tuple[CodeRound, ...]
    judgement: Judgement | None
    closing: str = ""
    """Text between the last code output and ``</verify>``: empty or ends with a newline."""


def turn_segments(rationale: Rationale, paragraph: int) -> tuple[Segment, ...]:
    """The turn as segments, exactly as the dialogue produces it at inference; ``paragraph`` is the step index + 1."""
    parts: list[Segment] = []
    if rationale.analysis is not None:
        parts.append(Segment("harness", ANALYZE_PREFILL.format(paragraph=paragraph)))
        parts.append(Segment("model", rationale.analysis + "\n" + ANALYZE_END))
    for index, code in enumerate(rationale.rounds):
        if index == 0:
            parts.append(Segment("harness", VERIFY_PREFILL))
            parts.append(Segment("model", code.source + CODE_END))
        else:
            parts.append(Segment("model", code.lead + "```python\n" + code.source + CODE_END))
        parts.append(Segment("harness", OUTPUT_HEAD))
        parts.append(Segment("code", code.output))
        parts.append(Segment("harness", OUTPUT_TAIL))
    if rationale.rounds:
        verdict = f"<output>\n**Judgement**: $\\boxed{{{rationale.judgement}}}$\n{OUTPUT_END}"
        parts.append(Segment("model", rationale.closing + VERIFY_END + verdict))
    else:
        parts.append(Segment("harness", JUDGEMENT_PREFILL))
        parts.append(Segment("model", f"{{{rationale.judgement}}}$\n{OUTPUT_END}"))
    return tuple(parts)
