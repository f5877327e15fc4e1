"""``genprm evaluate processbench|prmbench|best-of-n|refine IN...``: figures of results, with 95 % intervals."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from genprm.cli import console

evaluate = typer.Typer(
    help="Figures of results in files: ProcessBench, PRMBench, best-of-n, refinement.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Inputs = Annotated[
    list[Path], typer.Argument(metavar="IN...", help="Run directories of genprm verify, or JSONL files with rewards.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the intervals and of whatever is drawn.")]
Out = Annotated[Path | None, typer.Option(help="Write the figures as JSON too.")]
Gold = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSONL with labels or answers by id, in place of those of IN."),
]
Reference = Annotated[bool, typer.Option("--reference", help="Print published numbers beside ours.")]


@evaluate.callback(invoke_without_command=True)
def _benches(context: typer.Context) -> None:
    console.help_without_verb(context)


@evaluate.command("processbench")
def processbench(
    sources: Inputs,
    threshold: Annotated[
        str, typer.Option(help="A reward below it says No; first: the best one on the first subset.")
    ] = "0.5",
    curve: Annotated[
        bool, typer.Option("--curve", help="F1 of every smaller number of votes, by subsampling.")
    ] = False,
    vote_rule: Annotated[Literal["mean", "majority"], typer.Option(help="Of the curve.")] = "mean",
    gold: Gold = None,
    seed: Seed = 0,
    reference: Reference = False,
    out: Out = None,
) -> None:
    """F1 of first errors. Several IN: subsets, or runs of the same solutions with other sampling seeds."""
    from genprm.cli import figures
    from genprm.errors import InputError
    from genprm.evaluate.benchmark import processbench
    from genprm.evaluate.scaling import scaling_curve

    if curve and len(sources) > 1:
        raise InputError(f"--curve is of one run, and here are {len(sources)}; give one IN")
    if vote_rule != "mean" and not curve:
        raise InputError(f"--vote-rule {vote_rule} is of the curve; add --curve, or leave it out")
    check_out(out, [*sources, gold])
    value: float | Literal["first"] = "first" if threshold == "first" else number(threshold)
    found = processbench(sources, threshold=value, gold=gold, seed=seed)
    used = found.runs[0].threshold
    curves = scaling_curve(sources[0], vote_rule=vote_rule, threshold=used, gold=gold, seed=seed) if curve else {}
    to = console.out()
    figures.print_gold(to, found.gold)
    figures.print_processbench(to, found, curves)
    if reference:
        first = found.runs[0]
        ours = {name: report.maj.f1.value for name, report in first.subsets.items()}
        if first.mean_f1 is not None:
            ours["mean"] = first.mean_f1.value
        figures.print_reference(to, "processbench", ours)
    write(out, found.as_dict() | ({"curve": {size: asdict(one) for size, one in curves.items()}} if curves else {}))


@evaluate.command("prmbench")
def prmbench(
    sources: Inputs,
    threshold: Annotated[str, typer.Option(help="A reward below it says No.")] = "0.5",
    gold: Gold = None,
    seed: Seed = 0,
    reference: Reference = False,
    out: Out = None,
) -> None:
    """PRMScore of all steps, by category of error. Several IN: runs with other sampling seeds."""
    from genprm.cli import figures
    from genprm.evaluate.prmbench import prmbench

    check_out(out, [*sources, gold])
    found = prmbench(sources, threshold=number(threshold), gold=gold, seed=seed)
    to = console.out()
    figures.print_gold(to, found.gold)
    figures.print_prmbench(to, found)
    if reference:
        figures.print_reference(to, "prmbench", {"PRMScore": found.runs[0].overall.prm_score.value})
    write(out, found.as_dict())


@evaluate.command("best-of-n")
def best_of_n(
    sources: Inputs,
    n: Annotated[int | None, typer.Option("--n", help="Largest N'; default: the samples of each problem.")] = None,
    weights: Annotated[
        Literal["min", "mean", "product", "last"] | None,
        typer.Option(help="Score of steps that the weighted vote sums; default: min."),
    ] = None,
    gold: Gold = None,
    seed: Seed = 0,
    reference: Reference = False,
    out: Out = None,
) -> None:
    """Share of right answers that rewards select, for every N' up to N. Several IN: other sampling seeds."""
    from genprm.cli import figures
    from genprm.evaluate.best_of_n import best_of_n

    check_out(out, [*sources, gold])
    found = best_of_n(sources, n=n, weights=weights, gold=gold, seed=seed)
    to = console.out()
    figures.print_gold(to, found.gold)
    figures.print_best_of_n(to, found)
    if reference:
        figures.print_reference(to, "best-of-n")
    write(out, found.as_dict())


@evaluate.command("refine")
def refine(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories of genprm critique.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A control: another critique of the same solutions. May be given again."),
    ] = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Right answers before and after every round of critique. Several DIR: other sampling seeds."""
    from genprm.cli import refined
    from genprm.evaluate.refine import refine

    check_out(out, [*sources, *(against or ())])
    found = refine(sources, against=against or (), seed=seed)
    refined.print_refine(console.out(), found)
    write(out, found.as_dict())


def number(text: str) -> float:
    """A threshold. Raises ``InputError``."""
    from genprm.errors import InputError

    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"threshold is '{text}'; it must be a number such as 0.5")
    return found


def check_out(out: Path | None, given: Iterable[Path | None]) -> None:
    """Raises ``InputError`` for a file of figures that would replace something else: what was given, or a run's own."""
    from genprm.errors import InputError

    if out is None:
        return
    if not os.path.exists(out):  # noqa: PTH110 - a name that is too long is none, and no error
        if out.suffix == ".jsonl" and (out.parent / "config.yaml").exists():
            raise InputError(f"--out {out} would be among the records of a run; give a name that ends with .json")
        return
    if any(path is not None and path.exists() and out.samefile(path) for path in given):
        raise InputError(f"--out {out} is what the figures are of; give another file")
    if not _holds_figures(out):
        raise InputError(f"--out {out} exists and is no file of figures; give another file")


def _holds_figures(path: Path) -> bool:
    """Whether ``write`` may have written the file: its keys are those of figures."""
    if not path.is_file():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and ({"runs", "spreads"} <= found.keys() or {"runs", "curves"} <= found.keys()
                                        or {"systems", "pairs"} <= found.keys())  # fmt: skip


def write(out: Path | None, figures: dict[str, Any]) -> None:
    """The figures as JSON, if they are wanted."""
    from genprm.records.lines import replace_text

    if out is not None:
        replace_text(out, json.dumps(figures, indent=2) + "\n")
        console.out().print(f"figures in {out}", soft_wrap=True)
