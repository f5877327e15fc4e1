"""What code printed, made safe to stand inside a rationale.

Code output is untrusted text: a step can make the verifier print anything. Inside its block it must not end the
block, open another one, forge a judgement, or become a special token. One function, ``neutralise``, sees to that by
breaking every such string with a visible mark after its first character; harmless output stays byte-identical.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from genprm.execution.base import ExecutionResult

KEPT = 1000
"""Characters kept at the start and at the end of a long output."""

NO_CODE = "Code format error: No code found.\n"
"""Spliced where the model asked for a run and wrote no code block."""

_STRUCTURE = (
    "```",
    "<analyze>",
    "</analyze>",
    "<verify>",
    "</verify>",
    "<output>",
    "</output>",
    "\\boxed",
    "[Code Output]",
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def splice(result: ExecutionResult, special_tokens: Collection[str] = ()) -> str:
    """The text between the fences of a ``[Code Output]`` block: stdout, then the error line. Ends with a newline."""
    text = _on_lines(shorten(result.stdout))
    line = _error_line(result)
    if line:
        # After nothing printed, the error stands alone, as the published executor words it.
        text = (text if result.stdout else "") + _on_lines(line)
    return neutralise(text, special_tokens)


def shorten(text: str) -> str:
    """``text``, or its first and last ``KEPT`` characters around a count of those left out."""
    left_out = len(text) - 2 * KEPT
    if left_out <= 0:
        return text
    return f"{text[:KEPT]}... [{left_out} characters left out] ...{text[-KEPT:]}"


def neutralise(text: str, special_tokens: Collection[str] = ()) -> str:
    """``text`` without any string that has a meaning in a rationale or to the tokenizer. Idempotent."""
    pattern, mark = _forbidden(frozenset(special_tokens))
    text = _SURROGATE.sub("\ufffd", text)
    return pattern.sub(lambda match: match[0] + mark, text)


def _on_lines(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _error_line(result: ExecutionResult) -> str:
    match result.status:
        case "ok":
            return ""
        case "timeout":
            return "Code execute time out: Code execution timed out"
        case "oom":
            return "Code execute Error: MemoryError: memory limit"
        case "crashed":
            return f"Code execute Error: RuntimeError: killed by signal {result.error}"
        case "output_limit":
            return "Code execute Error: RuntimeError: output limit"
        case "error":
            return f"Code execute Error: {shorten(result.error)}"


@lru_cache(maxsize=16)
def _forbidden(special_tokens: frozenset[str]) -> tuple[re.Pattern[str], str]:
    """A pattern that matches the first character of every forbidden string, and the mark to put behind it.

    The mark occurs in no forbidden string, so none can span a mark: what is broken once stays broken, and nothing
    new can arise. A token of one character cannot be broken and says nothing that text could not; it is left alone.
    """
    strings = sorted({*_STRUCTURE, *(token for token in special_tokens if len(token) > 1)})
    used = set("".join(strings))
    mark = next(character for character in map(chr, range(0xB7, 0x10000)) if character not in used)
    # The lookahead consumes one character only, so overlapping strings are all found.
    return re.compile(f"(?={'|'.join(map(re.escape, strings))}).", re.DOTALL), mark
