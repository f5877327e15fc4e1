"""From rollouts to training data.

Labels: Monte Carlo counts, and every published rule that turns them into labels.
    ``counts``      rollouts as columns
    ``rules``       the label rules as pure functions of arrays
    ``labels``      the rules by name, labels of many solutions, first errors
    ``intervals``   labels at a confidence: 1, 0, or unsettled
    ``settle``      when a sampler may stop because a label cannot change
    ``answers``     the best-scored solution of each problem
    ``trees``       trees of prefixes with ratios, as counts

Other opinions: a judge (``judge``), people (``human``), an annotator (``annotation``, ``reformat``).

Selection and export: what is known of a solution (``evidence``), filters that say what they drop (``filters``,
``consensus``, ``contamination``, ``duplicates``), data sets in the published formats (``export``, ``released``).
"""

from __future__ import annotations

from genprm.curate.answers import AnswerCandidate, AnswerCandidates, best_candidates
from genprm.curate.counts import Counts
from genprm.curate.labels import RULES, UNKNOWN, Labelled, label, label_arrays, spell
from genprm.curate.settle import Sampled, next_to_sample, settled
from genprm.curate.trees import Tree, read_trees, tree_counts

__all__ = [
    "RULES",
    "UNKNOWN",
    "AnswerCandidate",
    "AnswerCandidates",
    "Counts",
    "Labelled",
    "Sampled",
    "Tree",
    "best_candidates",
    "label",
    "label_arrays",
    "next_to_sample",
    "read_trees",
    "settled",
    "spell",
    "tree_counts",
]
