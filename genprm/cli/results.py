"""What a verify run leaves on the terminal: a table of solutions and the counts that say whether to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genprm.cli import console
from genprm.types import Solution, Verification

ROWS = 20
"""Solutions listed at most; the rest is in the report."""


def print_results(
    to: Console, solutions: Sequence[Solution], items: Sequence[Verification], metrics: Mapping[str, Any]
) -> None:
    """The table and the counts."""
    to.print(table(solutions, items))
    if len(items) > ROWS:
        to.print(Text(f"... and {len(items) - ROWS} more solutions", style="dim"))
    for line in counts(solutions, items, metrics):
        to.print(Text(line), soft_wrap=True)


def table(solutions: Sequence[Solution], items: Sequence[Verification]) -> Table:
    """One row a solution: the reward of every step, the first error found and, where known, the true one."""
    labelled = any(solution.label is not None for solution in solutions)
    grid = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("solution", overflow="ellipsis", no_wrap=True, max_width=28)
    grid.add_column("reward of each step")
    grid.add_column("first error", no_wrap=True)
    if labelled:
        grid.add_column("label", no_wrap=True)
    for solution, item in list(zip(solutions, items, strict=True))[:ROWS]:
        rewards = Text("  ").join(console.reward(value) for value in item.rewards)
        row = [Text(console.printable(item.id)), rewards, console.first_error(item.predicted_label)]
        grid.add_row(*row, *([console.first_error(solution.label)] if labelled else []))
    return grid


def counts(solutions: Sequence[Solution], items: Sequence[Verification], metrics: Mapping[str, Any]) -> list[str]:
    """The counts as lines."""
    code = metrics["code"]
    ran = sum(code.values()) - code.get("not_run", 0)
    lines = [f"{len(items)} solutions, {metrics['votes']} votes, {metrics['steps'].get('judged', 0)} step judgements"]
    if ran:
        lines.append(f"{100 * code.get('ok', 0) / ran:.1f} % of {ran} code rounds ran without error")
    if metrics["failures"]:
        named = ", ".join(f"{name} {count}" for name, count in metrics["failures"].items())
        lines.append(f"{sum(metrics['failures'].values())} steps failed: {named}")
    known = [
        solution.label == item.predicted_label
        for solution, item in zip(solutions, items, strict=True)
        if solution.label is not None
    ]
    if known:
        lines.append(f"{sum(known)} of {len(known)} first errors equal the label")
    return lines
