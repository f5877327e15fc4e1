"""A rationale cut into what a reader looks at: words, code, what the code printed, and the judgement.

The cut follows the record (which source really ran, what was really spliced), not the text alone: a rationale that
*writes* something that looks like a code output shows it as words. Nothing is lost: text that fits nowhere is words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genprm.types import CodeRun

_TAG = re.compile(r"</?(?:analyze|verify|output)>[ \t]*\n?")
_JUDGEMENT = re.compile(r"\*\*Judgement\*\*: \$\\boxed\{(?:Yes|No)\}\$\s*")
_FENCE_END = re.compile(r"\n?```\n?")
_OUTPUT_HEAD = re.compile(r"\s*\[Code Output\]\s*```\n")


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a rationale, as shown."""

    kind: Literal["words", "code", "output"]
    text: str
    status: str = ""
    """How the code ended, for ``code`` and ``output``."""


def cut(rationale: str, runs: Sequence[CodeRun]) -> tuple[Block, ...]:
    """The blocks of one rationale, in reading order."""
    blocks: list[Block] = []
    position = 0
    for run in runs:
        start = rationale.find(run.source, position) if run.source else -1
        if start >= 0:
            blocks += _words(rationale[position:start])
            position = _skip(rationale, start + len(run.source), _FENCE_END)
        if run.source:
            blocks.append(Block("code", run.source.strip("\n"), run.status))
        blocks.append(Block("output", run.output.rstrip("\n"), run.status))
        after = _skip(rationale, position, _OUTPUT_HEAD)
        if rationale.startswith(run.output, after):
            position = _skip(rationale, after + len(run.output), _FENCE_END)
    return (*blocks, *_words(rationale[position:]))


def _skip(text: str, position: int, pattern: re.Pattern[str]) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _words(text: str) -> list[Block]:
    text = _JUDGEMENT.sub("", _TAG.sub("", text))
    text = text.removesuffix("\n").removesuffix("```python").strip()
    return [Block("words", text)] if text else []
