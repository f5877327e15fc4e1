"""The verifier as critic: it names the first wrong step and says why, a policy writes the solution once more.

findings   what a critic says of a solution, and the controls
rounds     who stands where after a round, and the figures of it
job        a run: verify, criticise, refine, round after round
"""

from genprm.critique.findings import CRITICS, Critic, Finding
from genprm.critique.job import Plan, Summary, check, critique
from genprm.critique.rounds import Round

__all__ = ["CRITICS", "Critic", "Finding", "Plan", "Round", "Summary", "check", "critique"]
