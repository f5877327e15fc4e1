"""Seeds and keys of samples and rollouts. Each depends on what it names and on nothing else.

sample seed     = hash(run seed, problem id, index)
completion seed = hash(run seed, solution id, step, index)
key             = hash(identity, content, index or step)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from genprm.runs.keys import digest, seed_of
from genprm.types import Problem, Solution


def sample_seed(run_seed: int, problem_id: str, index: int) -> int:
    """The seed of one solution of a problem, in [0, 2**63)."""
    return seed_of("sample", run_seed, problem_id, index)


def completion_seed(run_seed: int, id: str, step: int, index: int) -> int:
    """The seed of one completion of steps 0..step of the solution ``id``; with step -1, of the problem ``id``."""
    return seed_of("completion", run_seed, id, step, index)


def sample_key(identity: Mapping[str, Any], problem: Problem, index: int) -> str:
    """32 hex digits."""
    content = [problem.id, problem.problem, problem.answer]
    return digest("sample", json.dumps(identity, sort_keys=True), content, index)[:32]


def rollout_key(identity: Mapping[str, Any], problem: Problem, solution: Solution | None, step: int) -> str:
    """32 hex digits. Without a solution it is the problem alone, step -1."""
    content: list[object] = [problem.id, problem.problem, problem.answer]
    if solution is not None:
        content += [solution.id, list(solution.steps), solution.final_answer_correct]
    return digest("rollout", json.dumps(identity, sort_keys=True), content, step)[:32]
