"""What ``genprm run --grid`` prints: the plan, and the table of points."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from rich.text import Text

from genprm import planning
from genprm.cli import console
from genprm.sweep import Choice, Layout
from genprm.sweep.choice import described
from genprm.sweep.grid import section_of, shown


def print_plan(layout: Layout, limit: int | None, tokens_per_s: float) -> None:
    """The axes, how many runs they make, and how often every stage is done."""
    to, section = console.out(), section_of(layout.recipe)
    for axis in layout.axes:
        to.print(Text(f"{axis.name}: {', '.join(map(shown, axis.values))} ({', '.join(axis.keys)})"), soft_wrap=True)
    sizes = [len(axis.values) for axis in layout.axes]
    to.print(Text(f"{' x '.join(map(str, sizes))} = {prod(sizes)} runs"), soft_wrap=True)
    grid = console.grid("stage", "verb", "for each", "times", "tokens", "GPU hours")
    total = 0.0
    for one in planning.plan(layout.recipe, limit):
        times, hours = layout.times(one.name), one.hours(tokens_per_s)
        total += times * (hours or 0.0)
        tokens = "–" if one.tokens is None else f"{times * one.tokens / 1e6:,.1f} M"
        late = " (choice)" if one.name in layout.late else ""
        grid.add_row(
            one.name, one.verb, f"{', '.join(layout.depends[one.name]) or '–'}{late}", f"{times:,}", tokens,
            "–" if hours is None else f"{times * hours:,.1f}",
        )  # fmt: skip
    to.print(grid)
    to.print(
        f"at most {total:,.1f} GPU hours in all at {tokens_per_s:,.0f} tokens/s a GPU (--tokens-per-s), "
        "apart from stages without a figure",
        soft_wrap=True,
    )
    test = f"; {', '.join(section.test)} for the choice alone" if section.test else ""
    to.print(
        f"chosen by the mean of {', '.join(section.validation)} over seeds, best-of-N by {section.figure}{test}",
        soft_wrap=True,
    )
    to.print("dry run: nothing was loaded or written")


def print_choice(choice: Choice, beside: str, tested: Mapping[str, Any]) -> None:
    """Every point with its validation accuracy, and the test of the one that is chosen. ``beside``: what validation
    gives without a scorer."""
    to = console.out()
    grid = console.grid("point", "seeds", "validation", "")
    for point in choice.points:
        failed = len(point.runs) - len(point.figures)
        remark = "chosen" if point == choice.chosen else f"{failed} failed" if failed else ""
        grid.add_row(point.name, str(len(point.figures)), described(point.figures), remark)
    to.print(grid)
    more = f"; {beside}" if beside else ""
    to.print(f"best-of-N accuracy in per cent, mean ± standard deviation (ddof 1) over seeds{more}", soft_wrap=True)
    for stage, found in tested.items():
        more = f" ({found['beside']})" if found.get("beside") else ""
        to.print(f"{stage} of {choice.chosen.name}: {described(found['figures'])}{more}", soft_wrap=True)
