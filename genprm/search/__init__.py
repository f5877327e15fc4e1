"""Search: a policy writes, a scorer judges, and the better steps or solutions are taken.

``plan`` says what is done · ``problems`` reads · ``paths`` solutions as they grow · ``writing`` the policy's part ·
``verified`` the scorer's part · ``strategies`` who goes on · ``choosing`` the answer that is taken ·
``results`` what is kept · ``worker`` does problems · ``job`` continues a run directory · ``searcher`` is the surface
"""

from __future__ import annotations

from genprm.search.job import Progress, Summary
from genprm.search.plan import STRATEGIES, Plan
from genprm.search.problems import read_problems
from genprm.search.results import Candidate, Found
from genprm.search.searcher import Searcher

__all__ = ["STRATEGIES", "Candidate", "Found", "Plan", "Progress", "Searcher", "Summary", "read_problems"]
