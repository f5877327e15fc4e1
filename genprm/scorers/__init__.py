"""Scorers: one protocol over the generative verifier and every discriminative PRM; ``contract`` is what each passes."""

from genprm.scorers.base import Scored, StepReward, StepScorer, Synchronous
from genprm.scorers.opening import SCORERS, open_scorer

__all__ = ["SCORERS", "Scored", "StepReward", "StepScorer", "Synchronous", "open_scorer"]
