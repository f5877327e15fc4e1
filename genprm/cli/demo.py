"""``genprm demo``: the shipped model judges shipped solutions, and a page shows every rationale with its output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from genprm.cli import console

EXAMPLES = "demo.jsonl"
VOTES = 4


def demo(
    out: Annotated[Path, typer.Option(help="Run directory.")] = Path("genprm-demo"),
    votes: Annotated[int, typer.Option(help="Independent votes on each solution.")] = VOTES,
    sandbox: Annotated[
        Literal["auto", "docker", "local"], typer.Option(help="What runs the code that the model writes.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
) -> None:
    """Verify shipped examples with the shipped model."""
    from genprm import resources
    from genprm.api import Verifier
    from genprm.cli import verify
    from genprm.records import read_solutions
    from genprm.view import report

    loaded = read_solutions(str(resources.path("recipes", EXAMPLES)))
    summary = verify.run(Verifier(votes=votes, sandbox=sandbox, seed=seed), loaded, out, console.err(), extent={})
    verify.finish(console.out(), loaded, summary)
    console.out().print(
        f"open {report(out)} to read every rationale, its code and what the code printed", soft_wrap=True
    )
