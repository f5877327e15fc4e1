"""Scripted policies: they solve ``a + b, then times c``, and go wrong as their seed says."""

from __future__ import annotations

import random
import re

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.rollout import Given
from genprm.types import Problem, Solution

TASK = re.compile(r"What is (\d+) \+ (\d+), times (\d+)\?")


def problem(number: int) -> Problem:
    a, b, c = number + 2, number + 5, number % 3 + 2
    return Problem(f"p{number}", f"What is {a} + {b}, times {c}?", str((a + b) * c))


def problems(count: int) -> Given:
    return Given(tuple(problem(number) for number in range(count)), source="in.jsonl")


def solutions(count: int) -> Given:
    """One right and one wrong solution of each problem, given."""
    made = []
    for number in range(count):
        task = problem(number)
        a, b, c = map(int, TASK.findall(task.problem)[0])
        for name, total in (("right", a + b), ("wrong", a + b + 1)):
            steps = (f"{a} + {b} = {total}", f"{total} * {c} = {total * c}", f"It is \\boxed{{{total * c}}}.")
            made.append(Solution(task.problem, steps, f"{task.id}-{name}", task.id, "someone", task.answer))
    return Given(tuple(problem(number) for number in range(count)), tuple(made), source="in.jsonl")


def solve(prompt: str, request: GenerationRequest, *, slips: float = 0.25) -> str:
    """Go on from the last ``Step k: `` of the prompt; a number that stands there already is kept, right or wrong."""
    dice = random.Random(request.seed)
    a, b, c = map(int, TASK.findall(prompt)[-1])
    written = prompt.rpartition("assistant\n")[2]
    step = written.count("Step ")
    found = re.findall(r"= (\d+)", written)
    texts = []
    total = int(found[0]) if found else a + b + (dice.random() < slips)
    result = int(found[1]) if len(found) > 1 else total * c + (dice.random() < slips)
    if step == 1:
        texts.append(f"{a} + {b} = {total}")
    if step <= 2:
        texts.append(f"Step 2: {total} * {c} = {result}")
    texts.append(f"Step 3: So it is \\boxed{{{result}}}.")
    mischief = dice.random()
    if mischief < 0.06:
        return f"It is \\boxed{{{result}}}."  # in one step, if it is the whole solution
    if mischief < 0.12:
        return "and so on " * 400  # does not end by itself
    return "\n\n".join(texts).removeprefix(f"Step {step}: ")


def engine(**options: object) -> ScriptedEngine:
    return ScriptedEngine(solve, name="solver", **options)  # type: ignore[arg-type]


def other_engine() -> ScriptedEngine:
    """A stronger model."""
    return ScriptedEngine(lambda prompt, request: solve(prompt, request, slips=0.1), name="strong")
