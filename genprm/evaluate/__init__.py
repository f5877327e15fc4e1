"""Evaluation: ProcessBench F1, areas under curves, and how sure one can be of them. Reads files; knows no engine."""

from genprm.evaluate.processbench import F1Result, Report, evaluate_run, pass_at_1, recall, score
from genprm.evaluate.statistics import Interval, auroc, f1_difference

__all__ = [
    "F1Result",
    "Interval",
    "Report",
    "auroc",
    "evaluate_run",
    "f1_difference",
    "pass_at_1",
    "recall",
    "score",
]
