"""``genprm evaluate processbench|prmbench|best-of-n IN...``: figures of results in files, with 95 % intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from genprm.cli import console

evaluate = typer.Typer(
    help="Figures of results in files: ProcessBench, PRMBench, best-of-n.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Inputs = Annotated[
    list[Path], typer.Argument(metavar="IN...", help="Run directories of genprm verify, or JSONL files with rewards.")
]
Seed = Annotated[int, typer.Option(help="Of the intervals and of whatever is drawn.")]
Out = Annotated[Path | None, typer.Option(help="Write the figures as JSON too.")]
Reference = Annotated[bool, typer.Option("--reference", help="Print published numbers beside ours.")]


@evaluate.callback(invoke_without_command=True)
def _benches(context: typer.Context) -> None:
    console.help_without_verb(context)


@evaluate.command("best-of-n")
def best_of_n(
    sources: Inputs,
    n: Annotated[int | None, typer.Option("--n", help="Largest N'; default: the samples of each problem.")] = None,
    weights: Annotated[
        Literal["min", "mean", "product", "last"], typer.Option(help="Score that the weighted vote sums.")
    ] = "min",
    seed: Seed = 0,
    reference: Reference = False,
    out: Out = None,
) -> None:
    """Share of right answers that rewards select, for every N' up to N. Several IN: other sampling seeds."""
    from genprm.cli import figures
    from genprm.evaluate.best_of_n import best_of_n

    found = best_of_n(sources, n=n, weights=weights, seed=seed)
    to = console.out()
    figures.print_best_of_n(to, found)
    if reference:
        figures.print_reference(to, "best-of-n")
    write(out, found.as_dict())


def write(out: Path | None, figures: dict[str, Any]) -> None:
    """The figures as JSON, if they are wanted."""
    from genprm.records.lines import replace_text

    if out is not None:
        replace_text(out, json.dumps(figures, indent=2) + "\n")
        console.out().print(f"figures in {out}", soft_wrap=True)
