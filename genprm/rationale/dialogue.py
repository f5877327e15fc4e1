"""The dialogue over one step, without IO: it says what to do next, whoever drives it does it.

::

    dialogue = judge_step(settings, paragraph, special_tokens)
    action = next(dialogue)
    while True:                       # Generate -> Generated, Execute -> ExecutionResult, ReadOut -> Probabilities
        action = dialogue.send(reply) # StopIteration carries the StepResult

The stages are those of the published decoding: analysis, then code whose true output is spliced in, then the output
block. Every loop is bounded: at most ``max_rounds`` code runs and ``max_rounds + 3`` generations a step. When rounds
or budget are spent without a judgement, the code is dropped and the judgement is asked for once, after the analysis
alone; a step that still has none is ``failed``, never guessed.

========== ================================================== ==========================================
mode       the harness opens                                  the model writes
========== ================================================== ==========================================
direct     the output block                                   the judgement
analyze    the analysis; the output block                     the analysis; the judgement
code-only  the code                                           code, words and the judgement, round by round
code       the analysis; the code                             the analysis; then as code-only
========== ================================================== ==========================================

A step's tokens are (last prompt + generated) - first prompt of the step, so spliced output counts and no tokenizer is
needed here; after dropped code they stay at the most there has been.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TypeVar

from genprm.execution.base import ExecutionResult
from genprm.rationale.actions import Action, Execute, Generate, Generated, NoRoom, Probabilities, ReadOut, Reply
from genprm.rationale.format import (
    ANALYZE_END,
    ANALYZE_PREFILL,
    CODE_END,
    CODE_START,
    JUDGEMENT_PREFILL,
    OUTPUT_END,
    OUTPUT_HEAD,
    OUTPUT_TAIL,
    VERIFY_PREFILL,
    cut,
)
from genprm.rationale.grammar import parse
from genprm.rationale.judgement import Found, find_judgement
from genprm.rationale.settings import Settings
from genprm.rationale.splice import NO_CODE, splice
from genprm.types import Author, CodeRun, Failure, Mode, Segment, StepVerdict

__all__ = [
    "Action",
    "Execute",
    "Generate",
    "Generated",
    "NoRoom",
    "Probabilities",
    "ReadOut",
    "Reply",
    "Settings",
    "StepResult",
    "judge_step",
]

JUDGEMENT_TOKENS = 20
"""Budget for the judgement after the harness opened the output block."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the step's dialogue came to."""

    verdict: StepVerdict
    turn: tuple[Segment, ...]
    """The assistant turn, for the history of later steps."""


_Value = TypeVar("_Value")
_Dialogue = Generator[Action, Reply, _Value]


def judge_step(
    settings: Settings, paragraph: int, special_tokens: Collection[str] = ()
) -> Generator[Action, Reply, StepResult]:
    """Judge one step; ``paragraph`` is its index + 1. Always ends, whatever the replies say."""
    step = _Step(settings, paragraph, special_tokens)
    try:
        found = yield from step.write()
    except _Ended as end:
        return step.failed(end.failure)
    segments = step.before_word(found)
    reply = yield ReadOut(segments)
    if isinstance(reply, NoRoom):
        return step.failed("context")
    return step.judged(found, _expect(reply, Probabilities))


class _Ended(Exception):
    """The step cannot be judged."""

    def __init__(self, failure: Failure) -> None:
        self.failure: Failure = failure


class _Step:
    """One step while it is written: the turn so far, the code runs and the token count."""

    def __init__(self, settings: Settings, paragraph: int, special_tokens: Collection[str]) -> None:
        self.settings = settings
        self.paragraph = paragraph
        self.special_tokens = special_tokens
        self.mode: Mode = settings.mode
        self.turn: list[Segment] = []
        self.runs: list[CodeRun] = []
        self.first_prompt: int | None = None
        self.tokens = 0

    def write(self) -> _Dialogue[Found]:
        """Writes the turn up to its judgement, and says where that stands. Raises ``_Ended`` if there is none."""
        if self.mode in ("analyze", "code"):
            yield from self._analyze()
        analysis = len(self.turn)
        cause: Failure = "no_judgement" if self._left() else "budget"
        if self.mode in ("code", "code-only"):
            outcome = yield from (self._verify() if self.settings.execute else self._verify_unexecuted())
            if isinstance(outcome, Found):
                return outcome
            cause = outcome
            # Degrade: the code led nowhere, so the judgement follows the analysis alone.
            del self.turn[analysis:]
            self.mode = "analyze" if self.mode == "code" else "direct"
        found = yield from self._judge()
        if found is None:
            raise _Ended(cause)
        return found

    def before_word(self, found: Found) -> tuple[Segment, ...]:
        """The turn up to where Yes or No is read."""
        turn = tuple(self.turn)
        if self.settings.read_out == "natural" and found.boxed:
            return cut(turn, 0, found.word)
        return (*cut(turn, 0, found.block), Segment("harness", JUDGEMENT_PREFILL + "{"))

    def judged(self, found: Found, read: Probabilities) -> StepResult:
        total = read.p_yes + read.p_no
        if not (math.isfinite(total) and total > 0 and min(read.p_yes, read.p_no) >= 0):
            return self.failed("engine")
        verdict = StepVerdict(
            status="judged",
            mode=self.mode,
            reward=read.p_yes / total,
            p_yes=read.p_yes,
            p_no=read.p_no,
            judgement=found.judgement,
            rationale=self._text(),
            code=tuple(self.runs),
            tokens=self.tokens,
        )
        return StepResult(verdict, tuple(self.turn))

    def failed(self, failure: Failure) -> StepResult:
        verdict = StepVerdict(
            status="failed",
            mode=self.mode,
            rationale=self._text(),
            code=tuple(self.runs),
            tokens=self.tokens,
            failure=failure,
        )
        return StepResult(verdict, tuple(self.turn))

    def _analyze(self) -> _Dialogue[None]:
        self._add("harness", ANALYZE_PREFILL.format(paragraph=self.paragraph))
        reply = yield from self._generate((ANALYZE_END,), self.settings.step_budget)
        if not reply.text.endswith(ANALYZE_END):
            closed = reply.text.endswith("</analyze>")
            line_end = "" if reply.text.endswith("\n") else "\n"
            self._add("harness", line_end + ("" if closed else ANALYZE_END))

    def _verify(self) -> _Dialogue[Found | Failure]:
        """Code rounds up to the judgement, or why there is none."""
        self._add("harness", VERIFY_PREFILL)
        opening = VERIFY_PREFILL
        for runs in range(self.settings.max_rounds + 1):
            if not self._left():
                return "budget"
            start = len(self._text())
            reply = yield from self._generate((CODE_END, OUTPUT_END), self._left())
            if found := self._judgement(reply, start):
                self._note_missing_code()
                return found
            if reply.stop_reason == "length":
                return "budget"
            if OUTPUT_END in reply.text or runs == self.settings.max_rounds:
                return "no_judgement"
            yield from self._run(_last_block(opening + reply.text), reply.text)
            opening = ""
        raise AssertionError("the last round returns")

    def _run(self, source: str | None, before: str) -> _Dialogue[None]:
        """Runs a block, or says that there is none, and splices what it printed."""
        if source is None:
            output = NO_CODE
            self.runs.append(CodeRun("", "no_code", output))
        else:
            reply = yield Execute(source)
            result = _expect(reply, ExecutionResult)
            output = splice(result, self.special_tokens)
            self.runs.append(CodeRun(source, result.status, output))
        self._add("harness", OUTPUT_HEAD if not before or before.endswith("\n") else "\n" + OUTPUT_HEAD)
        self._add("code", output)
        self._add("harness", OUTPUT_TAIL)

    def _verify_unexecuted(self) -> _Dialogue[Found | Failure]:
        """The model writes code, outputs and judgement in one go."""
        self._add("harness", VERIFY_PREFILL)
        if not self._left():
            return "budget"
        start = len(self._text()) - len(VERIFY_PREFILL)
        reply = yield from self._generate((OUTPUT_END,), self._left())
        parsed = parse(VERIFY_PREFILL + reply.text)
        self.runs.extend(CodeRun(code.source, "not_run", code.output) for code in parsed.rationale.rounds)
        # Code and made-up output lie in the same text here, so only what follows them is searched.
        if found := self._judgement(reply, start + parsed.tail):
            self._note_missing_code()
            return found
        return "budget" if reply.stop_reason == "length" else "no_judgement"

    def _judge(self) -> _Dialogue[Found | None]:
        """The judgement alone, after an output block that the harness opens."""
        start = len(self._text())
        self._add("harness", JUDGEMENT_PREFILL)
        yield from self._generate((OUTPUT_END,), JUDGEMENT_TOKENS)
        return self._find(start)

    def _judgement(self, reply: Generated, start: int) -> Found | None:
        """The judgement in what was written from ``start``, unless the model stopped there to have code run."""
        return None if reply.text.endswith(CODE_END) else self._find(start)

    def _find(self, start: int) -> Found | None:
        found = find_judgement(self._text()[start:])
        if found is None:
            return None
        return Found(found.judgement, found.block + start, found.word + start, found.boxed)

    def _note_missing_code(self) -> None:
        if not self.runs:
            self.runs.append(CodeRun("", "no_code", ""))

    def _generate(self, stop: tuple[str, ...], max_tokens: int) -> _Dialogue[Generated]:
        reply = _expect((yield Generate(tuple(self.turn), stop, max_tokens)), Generated)
        if self.first_prompt is None:
            self.first_prompt = reply.prompt_tokens
        self.tokens = max(self.tokens, reply.prompt_tokens + len(reply.ids) - self.first_prompt)
        self._add("model", reply.text, reply.ids)
        if reply.stop_reason == "context":
            raise _Ended("context")
        return reply

    def _left(self) -> int:
        """Tokens left for this step."""
        return max(self.settings.step_budget - self.tokens, 0)

    def _add(self, author: Author, text: str, ids: tuple[int, ...] = ()) -> None:
        if text:
            self.turn.append(Segment(author, text, ids))

    def _text(self) -> str:
        return "".join(segment.text for segment in self.turn)


def _last_block(text: str) -> str | None:
    """The source of the last ```python block of ``text`` that a fence closes; None where there is none."""
    close = text.rfind(CODE_END)
    fence = text.rfind(CODE_START, 0, close + 1)
    if close == -1 or fence == -1:
        return None
    start = fence + len(CODE_START)
    source = text[start : max(start, text.find(CODE_END, start - 1))]
    return source if source.strip() else None


def _expect(reply: Reply, kind: type[_Value]) -> _Value:
    if not isinstance(reply, kind):
        raise TypeError(
            f"the dialogue waits for a {kind.__name__} and got a {type(reply).__name__}; answer its last action"
        )
    return reply
