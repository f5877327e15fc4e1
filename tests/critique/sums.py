"""A world of sums: a verifier that computes, and a policy that slips as its seed says."""

from __future__ import annotations

import random
import re

from genprm import Solution, Verifier
from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.records import Loaded
from genprm.rollout import Settings
from genprm.rollout.opening import Opening
from tests.verify import scripts

TASK = re.compile(r"Add (\d+) and (\d+), then (\d+)\.")


def solution(number: int, slip: int = 0, **fields: object) -> Solution:
    a, b, c = number + 2, number + 5, number % 3 + 2
    first, second = a + b + (slip == 1), a + b + c + (slip > 0)
    steps = (f"Step 1: {a} + {b} = {first}", f"Step 2: {first} + {c} = {second}. The answer is \\boxed{{{second}}}.")
    return Solution(f"Add {a} and {b}, then {c}.", steps, id=f"s{number}", answer=str(a + b + c), **fields)  # type: ignore[arg-type]


def given(count: int) -> Loaded:
    """Every third is right, the others slip in their first or second step."""
    return Loaded(tuple(solution(number, number % 3) for number in range(count)), source="in.jsonl")


def solve(prompt: str, request: GenerationRequest) -> str:
    """A new solution; it slips in one of three, whatever is said. One in ten does not end by itself."""
    a, b, c = map(int, TASK.findall(prompt)[-1])
    dice = random.Random(request.seed)
    first = a + b + (dice.random() < 1 / 3)
    if dice.random() < 0.1:
        return "and so on " * 400
    return f"{a} + {b} = {first}\n\nStep 2: {first} + {c} = {first + c}. The answer is \\boxed{{{first + c}}}."


def solver() -> ScriptedEngine:
    return ScriptedEngine(solve, name="solver")


def checker() -> ScriptedEngine:
    return scripts.model(name="checker")


def verifier(votes: int = 2, **options: object) -> Verifier:
    return Verifier("checker", engine=checker, votes=votes, sandbox="local", **options)  # type: ignore[arg-type]


def policy(engine: object = solver, seed: int = 0) -> Opening:
    return Opening("solver", engine, Settings(max_tokens=200), run_seed=seed)  # type: ignore[arg-type]
