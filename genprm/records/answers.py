"""Final answers: what a solution concludes, and whether that is the reference answer.

math-verify is imported at the first use: it loads sympy.
"""

from __future__ import annotations

import re
import threading

from genprm.types import Solution

TIMEOUT_S = 5
_SCIENTIFIC = re.compile(r"(-?\d+(?:\.\d+)?)[eE]([+-]?\d+)")
LONGEST_TEXT = 4000
"""Characters read from the end of a step: parsing time grows with the text, and answers stand at the end."""


def extract_answer(text: str, *, timed: bool = True) -> str:
    """The answer that a text concludes with, as it is written there; empty when none is found.

    ``timed``: give up after ``TIMEOUT_S`` where that can be done; off where another process keeps the time.
    """
    from math_verify import parse

    found = parse(text[-LONGEST_TEXT:], parsing_timeout=_timeout(timed))
    return next((item for item in reversed(found) if isinstance(item, str)), "")


def answers_agree(reference: str, answer: str, *, timed: bool = True) -> bool:
    """Whether two answers are mathematically the same. An empty answer agrees with nothing. ``timed``: as above."""
    from math_verify import parse, verify

    if not answer.strip():
        return False
    gold, mine = (parse(_marked(text), parsing_timeout=_timeout(timed)) for text in (reference, answer))
    if not gold or not mine:
        return reference.strip() == answer.strip()
    return bool(verify(gold, mine, timeout_seconds=_timeout(timed)))


def predicted_answer(solution: Solution) -> str:
    """What the solution concludes: its record's word, else extracted from the last step; empty for nothing."""
    if solution.predicted_answer is not None:
        return solution.predicted_answer
    return extract_answer(solution.steps[-1]) if solution.steps else ""


def final_answer_correct(solution: Solution) -> bool | None:
    """Whether the predicted answer is the reference answer; ``None`` without a reference."""
    if solution.final_answer_correct is not None:
        return solution.final_answer_correct
    return None if solution.answer is None else answers_agree(solution.answer, predicted_answer(solution))


def _marked(answer: str) -> str:
    """An answer as math-verify reads it whole: outside dollar signs it would take the first number of ``2x + 5``."""
    answer = answer.replace("\\$", "").strip()
    if found := _SCIENTIFIC.fullmatch(answer):  # e would be the number e
        answer = f"{found[1]} \\times 10^{{{found[2]}}}"
    return answer if "$" in answer else f"${answer}$"


def _timeout(timed: bool) -> int | None:
    """math-verify keeps time by SIGALRM, which exists in the main thread only."""
    return TIMEOUT_S if timed and threading.current_thread() is threading.main_thread() else None
