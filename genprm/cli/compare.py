"""``genprm compare A B [C...]``: do verifiers differ on the same input?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from genprm.cli import console


def compare(
    context: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(metavar="A B [C]...", help="Run directories of genprm verify, or JSONL files.")
    ],
    bench: Annotated[
        Literal["processbench", "prmbench", "best-of-n"] | None,
        typer.Option(help="What to compare; default: processbench where solutions have labels, else best-of-n."),
    ] = None,
    score: Annotated[
        Literal["min", "mean", "product", "last"], typer.Option(help="Of step rewards, for best-of-n.")
    ] = "min",
    threshold: Annotated[str, typer.Option(help="A reward below it says No.")] = "0.5",
    seed: Annotated[int, typer.Option(min=0, help="Of intervals and permutations.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write all as JSON too, with every flipped item.")] = None,
) -> None:
    """Flipped items and paired differences of runs on the same input."""
    from genprm.cli import figures
    from genprm.cli.evaluate import check_out, number, write
    from genprm.errors import InputError
    from genprm.evaluate.compare import compare

    check_out(out, sources)
    found = compare(sources, bench=bench, aggregation=score, threshold=number(threshold), seed=seed)
    if found.bench != "best-of-n" and console.is_given(context, "score"):
        raise InputError(f"--score is of best-of-n, and what is compared is {found.bench}; leave it out, or add "
                         "--bench best-of-n")  # fmt: skip
    figures.print_comparison(console.out(), found)
    write(out, found.as_dict())
