"""A scripted model that follows the format: it checks a claim ``a + b = c`` by code and judges as the code printed."""

from __future__ import annotations

import math
import re

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.types import Solution

CLAIM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
SUMS = Solution("What is 1 + 1, then 2 + 2, then 3 + 3?", ("1 + 1 = 2", "2 + 2 = 5", "3 + 3 = 6"), id="sums")


def output_block(judgement: str) -> str:
    return f"<output>\n**Judgement**: $\\boxed{{{judgement}}}$\n</output>\n"


def write(prompt: str, request: GenerationRequest) -> str:
    """What a well-behaved model writes next."""
    tail = prompt.rpartition("\n")[2]
    if tail.endswith("step by step: "):
        return f"seed {request.seed % 1000}: the sum must hold.\n</analyze>\n"
    if prompt.endswith("```python\n"):
        a, b, c = CLAIM.findall(prompt)[-1]
        return f"total = {a} + {b}\nprint(total == {c})\n```\n"
    if prompt.endswith("$\\boxed"):
        return "{Yes}$\n</output>\n"
    printed = prompt.rpartition("[Code Output]\n\n```\n")[2]
    return "The output says it.\n</verify>\n" + output_block("Yes" if printed.startswith("True") else "No")


def score(prompt: str, options: tuple[str, ...]) -> list[float]:
    """0.9 for the word that the printed output calls for, 0.05 for the other."""
    says_no = prompt.rpartition("[Code Output]\n\n```\n")[2].startswith("False")
    return [math.log(0.9 if (option == "No") == says_no else 0.05) for option in options]


def model(**options: object) -> ScriptedEngine:
    return ScriptedEngine(write, score=score, **options)  # type: ignore[arg-type]
