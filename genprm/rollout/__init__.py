"""Rollouts: solutions that a policy samples, and completions of every prefix of them, counted.

``problems`` loads · ``styles`` cuts and continues solutions · ``budget`` and ``amounts`` say how many ·
``completer`` does the work · ``courses`` say what is next · ``job`` continues a run directory ·
``roller`` is the surface
"""

from __future__ import annotations

from genprm.records.grading import Grade, Grader
from genprm.rollout.amounts import RULES, Amounts, Rule, Settled, rule_named
from genprm.rollout.budget import Budget
from genprm.rollout.completer import SAMPLING, Completer, Settings
from genprm.rollout.job import Plan, Summary
from genprm.rollout.metrics import Progress, Tally
from genprm.rollout.problems import DATA_SETS, Given, read_given
from genprm.rollout.roller import Roller
from genprm.rollout.samples import Sample

__all__ = [
    "DATA_SETS",
    "RULES",
    "SAMPLING",
    "Amounts",
    "Budget",
    "Completer",
    "Given",
    "Grade",
    "Grader",
    "Plan",
    "Progress",
    "Roller",
    "Rule",
    "Sample",
    "Settings",
    "Settled",
    "Summary",
    "Tally",
    "read_given",
    "rule_named",
]
