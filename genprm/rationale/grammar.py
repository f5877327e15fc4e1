"""The grammar of rationales: reading texts of the format that ``format`` owns and writes.

``parse(render(r, paragraph)).rationale == r`` for every rationale, whatever its code printed. Texts of models need not
be canonical: ``parse`` reads any text, makes the best of it, and names each way in which it deviates from the format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from genprm.rationale.format import (
    ANALYZE_END,
    ANALYZE_PREFILL,
    CODE_END,
    CODE_START,
    JUDGEMENT_PREFILL,
    OUTPUT_END,
    OUTPUT_HEAD,
    OUTPUT_TAIL,
    VERIFY_END,
    VERIFY_PREFILL,
    CodeRound,
    Rationale,
    output_block,
    render,
    turn_segments,
)
from genprm.rationale.judgement import find_judgement
from genprm.rationale.splice import neutralise

__all__ = [
    "ANALYZE_END",
    "ANALYZE_PREFILL",
    "CODE_END",
    "CODE_START",
    "JUDGEMENT_PREFILL",
    "OUTPUT_END",
    "OUTPUT_HEAD",
    "OUTPUT_TAIL",
    "VERIFY_END",
    "VERIFY_PREFILL",
    "CodeRound",
    "Parsed",
    "Rationale",
    "output_block",
    "parse",
    "render",
    "turn_segments",
]

_ANALYZE_HEAD = re.compile(r"<analyze>\n?(?:Let's analyze the Paragraph (\d{1,9}) step by step: )?")
_PART = re.compile(r"^<(?:analyze|verify|output)>", re.MULTILINE)
_OUTPUT_LINE = re.compile(r"^<output>", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A rationale as read from a text."""

    rationale: Rationale
    paragraph: int | None
    """The number the analysis names, if any."""
    deviations: tuple[str, ...]
    """One name for each departure from the format, in order; empty for what ``render`` wrote with a judgement."""
    tail: int
    """Where the text behind analysis and code begins, in which alone a judgement counts."""


def parse(text: str) -> Parsed:
    """The rationale that ``text`` holds. Reads every text; only the judgement in the output block (or on a bare last
    line) counts."""
    reader = _Reader(text)
    analysis = reader.analysis()
    rounds, closing = reader.verify()
    tail = text[reader.position :]
    found = find_judgement(tail)
    if found is None:
        reader.deviations.append("no_judgement")
    elif tail != output_block(found.judgement):
        reader.deviations.append("judgement_format")
    rationale = Rationale(analysis, rounds, found.judgement if found else None, closing)
    return Parsed(rationale, reader.paragraph, tuple(reader.deviations), reader.position)


class _Reader:
    """Walks through a text part by part. What it returns is always canonical; what it had to mend it notes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.paragraph: int | None = None
        self.deviations: list[str] = []

    def analysis(self) -> str | None:
        """The analysis, or None if there is no analyze block."""
        self._skip_to_part()
        head = _ANALYZE_HEAD.match(self.text, self.position)
        if head is None:
            return None
        if head[1] is None:
            self._note("analyze_prefill")
        else:
            self.paragraph = int(head[1])
        self.position = head.end()
        end = self.text.find(ANALYZE_END, self.position)
        if end != -1:
            body = self.text[self.position : end]
            self.position = end + len(ANALYZE_END)
        else:
            self._note("analyze_unclosed")
            part = _PART.search(self.text, self.position)
            body = self.text[self.position : part.start() if part else None]
            # Without a further part, the rest is also where a bare judgement may stand.
            self.position = part.start() if part else self.position
        if end != -1 and not body.endswith("\n"):
            self._note("analyze_newline")
        body = body.removesuffix("\n")
        while body.endswith("</analyze>"):
            body = body.removesuffix("</analyze>")
        return body

    def verify(self) -> tuple[tuple[CodeRound, ...], str]:
        """The code rounds and the closing words; none if there is no verify block or no code in it."""
        self._skip_to_part()
        rounds: list[CodeRound] = []
        if self.text.startswith(VERIFY_PREFILL, self.position):
            self.position += len(VERIFY_PREFILL)
            if self._code_end(self.position) == -1:
                self._note("code_unclosed")
            else:
                rounds.append(self._round(first=True))
        elif self.text.startswith("<verify>", self.position):
            self._note("verify_prefill")
            if self._next_code() == -1:
                self._note("no_code")
            else:
                self.position = self._next_code()
                rounds.append(self._round(first=True))
        else:
            return (), ""
        while rounds and self._next_code() != -1:
            rounds.append(self._round(first=False))
        return tuple(rounds), self._closing(after_code=bool(rounds))

    def _round(self, *, first: bool) -> CodeRound:
        """The code round from here to the end of its output."""
        lead = ""
        start = self.position if first else self._next_code()
        end = self._code_end(start)
        last = self.text.rfind(CODE_START, self.position, end + 1)
        if last != -1:
            lead = "" if first else self._mend_lead(self.text[self.position : last])
            start = last + len(CODE_START)
            if first:
                self._note("code_nested")
        source = self.text[start : max(start, end)]
        self.position = end + len(CODE_END)
        if source.endswith("[Code Output]\n"):  # the fence that ends it is the one that opens the output
            self._note("code_unclosed")
            source = source.removesuffix("\n").removesuffix("\n[Code Output]")
        elif self.text.startswith(OUTPUT_HEAD, self.position):
            self.position += len(OUTPUT_HEAD)
        else:
            self._note("output_missing")
            return CodeRound(source, "", lead)
        return CodeRound(source, self._output(), lead)

    def _output(self) -> str:
        end = self.text.find(CODE_END, self.position - 1)
        if end == -1:
            self._note("output_unclosed")
            end = len(self.text)
        output = self.text[self.position : end + 1]
        self.position = min(end + len(CODE_END), len(self.text))
        if output != neutralise(output) or not output:
            self._note("output_text")
        return output

    def _closing(self, *, after_code: bool) -> str:
        """The words up to the end of the verify block."""
        end = self.text.find(VERIFY_END, self.position)
        if end == -1 or OUTPUT_END in self.text[self.position : end]:
            self._note("verify_unclosed")
            block = _OUTPUT_LINE.search(self.text, self.position)
            if block is None:  # the rest is where a bare judgement may stand
                return ""
            closing, self.position = self.text[self.position : block.start()], block.start()
        else:
            closing, self.position = self.text[self.position : end], end + len(VERIFY_END)
        if not closing or not after_code:
            return ""
        if not closing.endswith("\n"):
            self._note("closing_newline")
            closing += "\n"
        if any(end in closing for end in (CODE_START, CODE_END, VERIFY_END, OUTPUT_END)):
            self._note("closing_text")
            return ""
        return closing

    def _mend_lead(self, lead: str) -> str:
        mended = lead
        for end in (CODE_END, VERIFY_END, OUTPUT_END):
            mended = mended.rpartition(end)[2]
        if mended != lead:
            self._note("lead_text")
        return mended

    def _next_code(self) -> int:
        """Where the source of the next closed code block of this verify block starts, or -1."""
        fence = self.text.find(CODE_START, self.position)
        limit = self.text.find(VERIFY_END, self.position)
        if limit == -1:
            block = _OUTPUT_LINE.search(self.text, self.position)
            limit = block.start() if block else len(self.text)
        if fence == -1 or fence > limit:
            return -1
        start = fence + len(CODE_START)
        return start if self._code_end(start) != -1 else -1

    def _code_end(self, start: int) -> int:
        """Where the source that starts here ends, or -1 where the text ends or is judged before."""
        end = self.text.find(CODE_END, start - 1)
        judged = self.text.find(OUTPUT_END, start)
        return -1 if -1 < judged < end else end

    def _skip_to_part(self) -> None:
        part = _PART.search(self.text, self.position)
        if part and part.start() > self.position:
            self._note("stray_text")
            self.position = part.start()

    def _note(self, deviation: str) -> None:
        self.deviations.append(deviation)
