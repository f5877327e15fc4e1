"""A run directory of a discriminative scorer: evaluate and view read it as they read that of a verifier.

A solution is one unit of work, and its line of ``votes.jsonl`` is a vote that judged every step in mode ``direct``
without writing anything: reward and ``p_yes`` are the scorer's. What is there is not scored again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genprm.records import Loaded, item_to_dict
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.scorers.base import Scored, StepReward, StepScorer, require_steps
from genprm.types import Judgement, Solution, StepVerdict, Verification, Vote
from genprm.verdicts import THRESHOLD
from genprm.verify.aggregate import aggregate
from genprm.verify.job import Summary
from genprm.verify.metrics import Tally
from genprm.verify.seeds import vote_key
from genprm.verify.store import FileVotes

log = logging.getLogger(__name__)

AT_ONCE = 256
"""Solutions to a call of the scorer, which batches them by length; so much is lost at most when a run is killed."""

OnProgress = Callable[[int, int], None]
"""Called with how many solutions are done, and of how many."""


async def score_to_dir(
    loaded: Loaded,
    out: Path | str,
    scorer: StepScorer[Any],
    *,
    extent: Mapping[str, Any] | None = None,
    on_progress: OnProgress = lambda done, all: None,
) -> Summary:
    """Score into a run directory, continuing what is there.

    Raises ``InputError`` before anything is written, ``IdentityError`` for a directory of another scorer or input.
    """
    identity = dict(scorer.identity)
    configuration = Configuration("verify", identity, {"votes": 1, **(extent or {})}, loaded.source)
    solutions = loaded.solutions
    require_steps(solutions)
    started = time.monotonic()
    with RunDirectory.open(out, configuration, solutions) as run:
        run.write_environment(environment(**identity))
        votes = FileVotes(run.units)
        keys = [vote_key(identity, one, 0) for one in solutions]
        owed = [(key, one) for key, one in zip(keys, solutions, strict=True) if key not in votes]
        reused = len(solutions) - len(owed)
        log.info("score %d solutions, %d are there", len(solutions), reused)
        for start in range(0, len(owed), AT_ONCE):
            part = owed[start : start + AT_ONCE]
            for (key, one), scored in zip(part, await scorer.score([one for _, one in part]), strict=True):
                votes.add(vote_of(key, one, scored))
            on_progress(reused + start + len(part), len(solutions))
        items, metrics = _derive(run, solutions, [votes[key] for key in keys], time.monotonic() - started)
        return Summary(run.path, items, metrics, reused)


def vote_of(key: str, solution: Solution, scored: Scored) -> Vote:
    """The rewards of a solution as the record of a vote."""
    return Vote(key, solution.id, 0, 0, tuple(_verdict(step) for step in scored.steps))


def _verdict(step: StepReward) -> StepVerdict:
    if step.reward is None:
        return StepVerdict(step.status, "direct", failure=step.failure, tokens=step.tokens)
    says: Judgement = "Yes" if step.reward >= THRESHOLD else "No"
    return StepVerdict("judged", "direct", step.reward, step.reward, 1 - step.reward, says, tokens=step.tokens)


def _derive(
    run: RunDirectory, solutions: Sequence[Solution], votes: Sequence[Vote], seconds: float
) -> tuple[tuple[Verification, ...], Mapping[str, Any]]:
    """items.jsonl and metrics.json."""
    items = [aggregate(one, [vote]) for one, vote in zip(solutions, votes, strict=True)]
    run.write_items(map(item_to_dict, items))
    tally = Tally()
    for vote in votes:
        tally.add(vote)
    metrics = {"solutions": len(items), "votes_owed": 0, **tally.as_dict(), "timing": {"seconds": seconds}}
    run.write_metrics(metrics)
    return tuple(replace(item, votes=()) for item in items), metrics
