"""Final answers: what a solution concludes, and whether that is the reference answer.

math-verify is imported at the first use: it loads sympy.
"""

from __future__ import annotations

import threading

from genprm.types import Solution

TIMEOUT_S = 5
LONGEST_TEXT = 4000
"""Characters read from the end of a step: parsing time grows with the text, and answers stand at the end."""


def extract_answer(text: str) -> str:
    """The answer that a text concludes with, as it is written there; empty when none is found."""
    from math_verify import parse

    found = parse(text[-LONGEST_TEXT:], parsing_timeout=_timeout())
    return next((item for item in reversed(found) if isinstance(item, str)), "")


def answers_agree(reference: str, answer: str) -> bool:
    """Whether two answers are mathematically the same. An empty answer agrees with nothing."""
    from math_verify import parse, verify

    if not answer.strip():
        return False
    gold, mine = (parse(_marked(text), parsing_timeout=_timeout()) for text in (reference, answer))
    if not gold or not mine:
        return reference.strip() == answer.strip()
    return bool(verify(gold, mine, timeout_seconds=_timeout()))


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
    """An answer as math-verify reads it best: LaTeX needs its dollar signs."""
    return f"${answer}$" if "\\" in answer and "$" not in answer else answer


def _timeout() -> int | None:
    """math-verify keeps time by SIGALRM, which exists in the main thread only."""
    return TIMEOUT_S if threading.current_thread() is threading.main_thread() else None
