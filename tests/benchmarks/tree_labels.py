"""What every label rule says of the prefixes of a search tree, as tables.

``python tests/benchmarks/tree_labels.py [PATH]``

``PATH`` is a file of trees (``genprm/curate/trees.py`` says of what form); without it, ``mc_tree`` of the shared data.
Siblings that end there and have the same value are one row with their number.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from genprm.curate import RULES, Tree, label_arrays, read_trees, tree_counts

SHOWN = tuple(rule for rule in RULES if rule != "orm")
"""All rules that need only ratios."""

Node = tuple[int, int]
"""Place of the tree and of the prefix in it."""


def main() -> None:
    place = Path(os.environ.get("GENPRM_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("path", type=Path, nargs="?", default=place / "mc_tree" / "omegaprm_samples.jsonl")
    trees = read_trees(parser.parse_args().path)
    labels = node_labels(trees)
    console = Console()
    for number, tree in enumerate(trees):
        console.print(tree_table(tree, {node: values for (owner, node), values in labels.items() if owner == number}))
    console.print(summary(trees, labels))


def node_labels(trees: list[Tree]) -> dict[Node, tuple[float, ...]]:
    """The value of each prefix under every rule shown. Paths that share a prefix agree on it."""
    counts = tree_counts(trees)
    columns = [label_arrays(counts, rule).values.tolist() for rule in SHOWN]
    paths = [(place, node) for place, tree in enumerate(trees) for leaf in tree.leaves for node in tree.path(leaf)]
    return dict(zip(paths, zip(*columns, strict=True), strict=True))


def tree_table(tree: Tree, labels: dict[int, tuple[float, ...]]) -> Table:
    names = [rule.removeprefix("rpe_") for rule in SHOWN]
    title = f"tree {tree.id}, Pass@1 {float(tree.shares[0]):.3f}"
    table = Table("step", "n", "before", "MC", *names, title=title, box=SIMPLE)
    leaves = set(tree.leaves)
    kinds = {node: (tree.parents[node], tree.shares[node], node if node not in leaves else -1) for node in labels}
    number = Counter(kinds.values())
    for node in sorted(labels):
        if many := number.pop(kinds[node], 0):
            before, after, depth = tree.shares[tree.parents[node]], tree.shares[node], len(tree.path(node)) - 1
            shown = (f"{value:.3g}" for value in labels[node])
            table.add_row("· " * depth + str(depth), str(many), f"{float(before):.3f}", f"{float(after):.3f}", *shown)
    return table


def summary(trees: list[Tree], labels: dict[Node, tuple[float, ...]]) -> Table:
    table = Table(
        "rule", "mean value", "labels of 0", title=f"{len(labels)} prefixes of {len(trees)} trees", box=SIMPLE
    )
    for place, rule in enumerate(SHOWN):
        values = [found[place] for found in labels.values()]
        table.add_row(rule, f"{sum(values) / len(values):.3f}", str(values.count(0)))
    return table


if __name__ == "__main__":
    main()
