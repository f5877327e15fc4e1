"""Trees of prefixes with Monte Carlo ratios, as OmegaPRM search writes them, as counts that the label rules read.

One JSON object a line: ``question``, ``question_id`` (optional) and ``reasoning_steps``, a list of ``solution_prefix``
and ``mc_value``. A prefix's parent is the longest proper prefix of it in the tree; the question alone is the root, and
its ratio is Pass@1. Where a prefix comes twice, its ratios are averaged.

Only ratios are known, so what needs numbers of completions (confidence) or answers (``orm``) is refused later on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from genprm.curate.counts import Counts
from genprm.errors import InputError, RecordError
from genprm.records.lines import json_name, read_lines

LARGEST_TOTAL = 1024
"""A ratio is read as the nearest fraction with at most this denominator: the very share if it was written with all its
digits and comes from at most so many completions, and 1/3 for 0.3333."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The prefixes of one problem's search, parents before children; index 0 is the question alone."""

    id: str
    prefixes: tuple[str, ...]
    shares: tuple[Fraction, ...]
    """MC of each prefix."""
    parents: tuple[int, ...]
    """-1 for the root."""

    @property
    def leaves(self) -> tuple[int, ...]:
        """Prefixes that no other continues."""
        inner = set(self.parents)
        return tuple(node for node in range(1, len(self.prefixes)) if node not in inner)

    def path(self, node: int) -> tuple[int, ...]:
        """The prefixes from the first step to ``node``, without the root: one a step."""
        found: list[int] = []
        while node > 0:
            found.append(node)
            node = self.parents[node]
        return tuple(reversed(found))


def read_trees(path: Path) -> list[Tree]:
    """The trees of a file. Raises ``RecordError`` naming file, line and field."""
    return [_tree(record, str(path), line) for line, record in read_lines(path)]


def tree_counts(trees: Sequence[Tree]) -> Counts:
    """Each path from a first step to a leaf as a solution named ``tree/leaf``; Pass@1 is the root's ratio.

    ``correct`` and ``total`` are numerator and denominator of the ratio. Steps that paths share have the same labels
    in each. Raises ``InputError`` where there is no path.
    """
    paths = [(place, leaf, tree.path(leaf)) for place, tree in enumerate(trees) for leaf in tree.leaves]
    if not paths:
        raise InputError("the trees hold no step beyond their questions; give trees with reasoning steps")
    shares = [trees[place].shares[node] for place, _, path in paths for node in path]
    return Counts(
        ids=tuple(f"{trees[place].id}/{leaf}" for place, leaf, _ in paths),
        problem_ids=tuple(tree.id for tree in trees),
        problem=np.array([place for place, _, _ in paths], dtype=np.int64),
        starts=np.cumsum([0, *(len(path) for _, _, path in paths)], dtype=np.int64),
        correct=np.array([share.numerator for share in shares], dtype=np.int64),
        total=np.array([share.denominator for share in shares], dtype=np.int64),
        pass_correct=np.array([tree.shares[0].numerator for tree in trees], dtype=np.int64),
        pass_total=np.array([tree.shares[0].denominator for tree in trees], dtype=np.int64),
        answer=np.full(len(paths), -1, dtype=np.int64),
        policy="",
        shares_only=True,
    )


def _tree(record: dict[str, Any], source: str, line: int) -> Tree:
    question, nodes = record.get("question"), record.get("reasoning_steps")
    if not isinstance(question, str) or not question:
        raise RecordError("must be the problem's text", source=source, line=line, field="question")
    if not isinstance(nodes, list) or not nodes:
        raise RecordError("must be a list of prefixes", source=source, line=line, field="reasoning_steps")
    found: dict[str, list[Fraction]] = {}
    for node in nodes:
        prefix, share = _node(node, source, line)
        found.setdefault(prefix, []).append(share)
    if question not in found:
        raise RecordError(
            "has no prefix that is the question alone; its ratio is Pass@1, which the labels of first steps need",
            source=source, line=line, field="reasoning_steps",
        )  # fmt: skip
    prefixes = sorted(found)
    if not all(prefix.startswith(question) for prefix in prefixes):
        raise RecordError(
            "has a prefix that does not begin with the question; every prefix must",
            source=source, line=line, field="reasoning_steps",
        )  # fmt: skip
    shares = tuple(sum(found[prefix], Fraction(0)) / len(found[prefix]) for prefix in prefixes)
    # A line of its own names a tree that has no id; ids of different lines may be equal (several searches of one).
    return Tree(f"{record.get('question_id', '')}@{line}", tuple(prefixes), shares, _parents(prefixes))


def _node(node: object, source: str, line: int) -> tuple[str, Fraction]:
    if not isinstance(node, dict) or not isinstance(node.get("solution_prefix"), str):
        raise RecordError("must be a text", source=source, line=line, field="solution_prefix")
    value = node.get("mc_value")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        shown = value if isinstance(value, int | float) else f"a {json_name(value)}"
        raise RecordError(f"is {shown}; it must be a number from 0 to 1", source=source, line=line, field="mc_value")
    return node["solution_prefix"], Fraction(value).limit_denominator(LARGEST_TOTAL)


def _parents(prefixes: Sequence[str]) -> tuple[int, ...]:
    """Of sorted prefixes: whatever lies on the way to a text stands before it, the longest nearest."""
    open_nodes: list[int] = []
    found: list[int] = []
    for place, prefix in enumerate(prefixes):
        while open_nodes and not prefix.startswith(prefixes[open_nodes[-1]]):
            open_nodes.pop()
        found.append(open_nodes[-1] if open_nodes else -1)
        open_nodes.append(place)
    return tuple(found)
