"""The dialogue of an annotator, without IO: one critique of a whole solution, with code that really ran.

A strong model reviews a solution paragraph by paragraph in a single turn (GenPRM, section 3.2.3). It writes code, the
sandbox runs it, the output is spliced in, and the model goes on. At the end the harness cuts the critique behind its
last closed check and asks several times for the number of the first wrong paragraph. ``reformat`` makes rationales
of it.

::

    dialogue = annotate(settings, steps=5)
    action = next(dialogue)
    while True:                       # Generate -> Generated, Execute -> ExecutionResult
        action = dialogue.send(reply) # StopIteration carries the Critique
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import Literal

from genprm.curate.judge import parse_index
from genprm.execution.base import ExecutionResult
from genprm.rationale.actions import Execute, Generate, Generated
from genprm.rationale.format import CODE_END, CODE_START, OUTPUT_HEAD, OUTPUT_TAIL, VERIFY_END, cut
from genprm.rationale.splice import splice
from genprm.types import CodeRun, Segment

Ended = Literal["done", "length", "context", "rounds"]
THINK = "<think>\n"
THOUGHT = "</think>"
OPENING = "### Paragraph 1\n<analyze>\n"
_BOX = "\\boxed{"
CONCLUSION = "\n### Final Conclusion\nThe number of the first wrong paragraph, or -1 if none is wrong: $" + _BOX
INDEX_TOKENS = 12


@dataclass(frozen=True, slots=True)
class AnnotationSettings:
    """Numbers of the paper's synthesis, where it has them."""

    max_rounds: int = 64
    """Most code runs in a critique."""
    chunk_tokens: int = 4096
    """Most tokens to one request."""
    index_votes: int = 4
    thinks: bool = True
    """The critique is written inside a think block, as the paper's annotator does."""


@dataclass(frozen=True, slots=True)
class Critique:
    """One critique of a whole solution."""

    segments: tuple[Segment, ...]
    """The turn, up to its last closed check."""
    runs: tuple[CodeRun, ...]
    votes: tuple[int | None, ...]
    """First wrong step (0-based) of each index vote, -1 for none, ``None`` for one that names no step."""
    ended: Ended
    tokens: int

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


def annotate(
    settings: AnnotationSettings, steps: int, special_tokens: Collection[str] = ()
) -> Generator[Generate | Execute, Generated | ExecutionResult, Critique]:
    """Write one critique of a solution with so many steps. Always ends: rounds and tokens are bounded."""
    turn: list[Segment] = [Segment("harness", (THINK if settings.thinks else "") + OPENING)]
    runs: list[CodeRun] = []
    tokens = 0
    ended: Ended = "rounds"
    stops = (CODE_END, THOUGHT) if settings.thinks else (CODE_END,)
    for _ in range(settings.max_rounds + 1):
        reply = yield Generate(tuple(turn), stops, settings.chunk_tokens)
        assert isinstance(reply, Generated)
        tokens += len(reply.ids)
        turn.append(Segment("model", reply.text, reply.ids))
        if reply.stop_reason in ("length", "context"):
            ended = reply.stop_reason
            break
        if reply.text.endswith(THOUGHT) or not reply.text.endswith(CODE_END):
            ended = "done"
            break
        fence = reply.text.rfind(CODE_START)
        if fence < 0:  # another fenced text: nothing to run
            continue
        source = reply.text[fence + len(CODE_START) : -len(CODE_END)]
        result = yield Execute(source)
        assert isinstance(result, ExecutionResult)
        output = splice(result, special_tokens)
        runs.append(CodeRun(source, result.status, output))
        turn += [Segment("harness", OUTPUT_HEAD), Segment("code", output), Segment("harness", OUTPUT_TAIL)]
    kept = _to_last_check(tuple(turn))
    votes: list[int | None] = []
    if kept:
        asked = (*kept, Segment("harness", CONCLUSION))
        for _ in range(settings.index_votes):
            reply = yield Generate(asked, ("}",), INDEX_TOKENS)
            assert isinstance(reply, Generated)
            tokens += len(reply.ids)
            votes.append(parse_index(_BOX + reply.text, steps, first=1))
    return Critique(kept, tuple(runs), tuple(votes), ended, tokens)


def _to_last_check(turn: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The turn up to its last ``</verify>``, of the model's own words; empty if there is none."""
    end, position = 0, 0
    for segment in turn:
        if segment.author == "model" and (place := segment.text.rfind(VERIFY_END)) >= 0:
            end = position + place + len(VERIFY_END)
        position += len(segment.text)
    return cut(turn, 0, end) if end else ()
