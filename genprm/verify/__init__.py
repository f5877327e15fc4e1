"""Verify: independent votes on every step of a solution, read out and aggregated.

``votes`` drives the dialogue of one vote · ``readout`` reads P(Yes) · ``aggregate`` makes the verdict · ``seeds`` say
what a vote depends on · ``course`` and ``stopping`` say which votes are needed · ``many`` runs many at once · ``job``
continues a run directory · ``replay`` edits the past
"""

from __future__ import annotations

from genprm.verdicts import VoteRule
from genprm.verify.aggregate import aggregate
from genprm.verify.job import Summary, verify_to_dir
from genprm.verify.many import verify_many
from genprm.verify.metrics import Progress, Tally
from genprm.verify.replay import replay_step
from genprm.verify.seeds import request_seed, vote_key, vote_seed
from genprm.verify.votes import Judge, run_vote

__all__ = [
    "Judge",
    "Progress",
    "Summary",
    "Tally",
    "VoteRule",
    "aggregate",
    "replay_step",
    "request_seed",
    "run_vote",
    "verify_many",
    "verify_to_dir",
    "vote_key",
    "vote_seed",
]
