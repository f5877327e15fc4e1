"""Seeds and keys. Each depends on what it names and on nothing else, so neither order nor concurrency changes a vote.

vote seed    = hash(run seed, solution id, vote index)
request seed = hash(vote seed, step, request number)
vote key     = hash(identity, solution content, vote index)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from genprm.runs.keys import digest, seed_of
from genprm.types import Solution


def vote_seed(run_seed: int, solution_id: str, vote: int) -> int:
    """A seed in [0, 2**63)."""
    return seed_of("vote", run_seed, solution_id, vote)


def request_seed(seed: int, step: int, number: int) -> int:
    """The seed of one request of a vote, in [0, 2**63). ``number`` counts the requests of the step from 0."""
    return seed_of("request", seed, step, number)


def vote_key(identity: Mapping[str, Any], solution: Solution, vote: int) -> str:
    """The key of a unit of work: 32 hex digits. Of a solution, what a vote depends on counts: id, problem, steps."""
    content = [solution.id, solution.problem, list(solution.steps)]
    return digest("key", json.dumps(identity, sort_keys=True), content, vote)[:32]
