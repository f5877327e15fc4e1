"""Evaluation: figures of results in files, and how sure one can be of them. Reads files; knows no engine.

``scored`` reads run directories and JSONL files · ``processbench``, ``scaling`` (fewer votes), ``benchmark`` (subsets,
seeds), ``thresholds``, ``breakdown`` · ``prmbench`` · ``best_of_n`` with ``samples``, ``answers``, ``estimators`` and
``voting`` · ``refine`` with ``refined`` · ``gold``: labels from another file · ``compare`` with ``permutation`` ·
``diagnostics`` · ``statistics`` · ``reference``: published numbers

The verbs call ``benchmark.processbench``, ``prmbench.prmbench``, ``best_of_n.best_of_n``, ``refine.refine`` and
``compare.compare``.
"""

from genprm.evaluate.benchmark import Benchmark
from genprm.evaluate.best_of_n import BestOfN, BestOfNRuns
from genprm.evaluate.compare import Comparison
from genprm.evaluate.prmbench import PRMBench
from genprm.evaluate.processbench import F1Result, Report, evaluate_run, pass_at_1, recall, score
from genprm.evaluate.refine import Refine
from genprm.evaluate.statistics import Interval, Spread, auroc, f1_difference

__all__ = [
    "Benchmark",
    "BestOfN",
    "BestOfNRuns",
    "Comparison",
    "F1Result",
    "Interval",
    "PRMBench",
    "Refine",
    "Report",
    "Spread",
    "auroc",
    "evaluate_run",
    "f1_difference",
    "pass_at_1",
    "recall",
    "score",
]
