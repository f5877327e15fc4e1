"""Scripted annotators and judges: they recompute every ``a + b = c`` and ``a * b = c`` that they are shown."""

from __future__ import annotations

import random
import re

from genprm.engines import GenerationRequest, ScriptedEngine

PARAGRAPH = re.compile(r"<paragraph_\d+>\n(.*?)\n</paragraph_\d+>", re.DOTALL)
CLAIM = re.compile(r"(\d+ [+*] \d+) = (\d+)")


def annotate(prompt: str, request: GenerationRequest) -> str:
    """Go on with the critique; now and then, by seed, leave the check of the first paragraph out."""
    steps = PARAGRAPH.findall(prompt)
    written = prompt.rpartition("assistant\n")[2]
    printed = re.findall(r"\[Code Output\]\n\n```\n(\w+)", written)
    if prompt.endswith("\\boxed{"):
        return f"{printed.index('False') + 1 if 'False' in printed else -1}}}"
    if not printed and random.Random(request.seed).random() < 0.1:
        return "I see no need for code.\n</analyze>\n<verify>\nFine.\n</verify>\n</think>"
    if len(printed) == len(steps):
        return "The code says it.\n</verify>\n</think>"
    claim = CLAIM.search(steps[len(printed)])
    code = f"print({claim[1]} == {claim[2]})" if claim else "print(True)"
    heading = f"The code says it.\n</verify>\n### Paragraph {len(printed) + 1}\n<analyze>\n" if printed else ""
    return f"{heading}Let us see.\n</analyze>\n<verify>\n```python\n{code}\n```\n"


def judge(prompt: str, request: GenerationRequest) -> str:
    """Name the first wrong claim; now and then, by seed, say nothing that can be read."""
    if random.Random(request.seed).random() < 0.1:
        return "I cannot tell."
    claims = [CLAIM.search(step) for step in PARAGRAPH.findall(prompt)]
    wrong = [index for index, claim in enumerate(claims) if claim and _value(claim[1]) != int(claim[2])]
    return f"So \\boxed{{{wrong[0] if wrong else -1}}}"


def _value(text: str) -> int:
    first, sign, second = text.split()
    return int(first) + int(second) if sign == "+" else int(first) * int(second)


def annotator() -> ScriptedEngine:
    return ScriptedEngine(annotate, name="annotator")


def judging() -> ScriptedEngine:
    return ScriptedEngine(judge, name="judge")
