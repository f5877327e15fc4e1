"""``genprm evaluate processbench RUN``: the figures of a verify run, with 95 % intervals."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genprm.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from genprm.evaluate import Report


def evaluate(
    bench: Annotated[Literal["processbench"], typer.Argument(metavar="BENCH", help="processbench.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="Run directory of genprm verify, on labelled records.")],
    curve: Annotated[
        bool, typer.Option("--curve", help="F1 of every smaller number of votes, by subsampling.")
    ] = False,
    vote_rule: Annotated[Literal["mean", "majority"], typer.Option(help="Of the curve.")] = "mean",
    seed: Annotated[int, typer.Option(help="Of the intervals and of the curve.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON too.")] = None,
) -> None:
    """Compare a run with the labels of its records."""
    from genprm.evaluate import evaluate_run
    from genprm.evaluate.scaling import describe, scaling_curve
    from genprm.records.lines import replace_text

    report = evaluate_run(source, seed=seed)
    curves = scaling_curve(source, vote_rule=vote_rule, seed=seed) if curve else {}
    to = console.out()
    to.print(f"{report.solutions} solutions with a label, {report.unlabelled} without; per cent, 95 % intervals")
    to.print(_table(("", "F1", "first error found", "correct accepted", "no verdict"), _rows(report)))
    if report.difference is not None:
        to.print(f"all votes together over single ones, paired: {report.difference.describe()} points")
    if report.recall:
        to.print(_table(("kind", "answered rightly"), [[name, one.describe()] for name, one in report.recall.items()]))
    if curves:
        to.print(_table(("votes", "F1", "first error found", "correct accepted"), describe(curves)))
    if out is not None:
        figures: dict[str, Any] = report.as_dict()
        if curves:
            figures["curve"] = {size: asdict(one) for size, one in curves.items()}
        replace_text(out, json.dumps(figures, indent=2) + "\n")
        to.print(f"figures in {out}", soft_wrap=True)


def _rows(report: Report) -> list[list[str]]:
    named = [("all votes", report.maj)]
    if report.pass_at_1 is not None:
        named.append((f"single votes ({report.votes})", report.pass_at_1))
    return [
        [name, one.f1.describe(), one.error_accuracy.describe(), one.correct_accuracy.describe(), str(one.unknown)]
        for name, one in named
    ]


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> Table:
    grid = console.grid(*columns)
    for row in rows:
        grid.add_row(*row)
    return grid
