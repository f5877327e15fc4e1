"""``genprm lab``: problems, solutions and truth of the micro-world, to read or as records.

genprm lab --limit 2
genprm lab --limit 1000 --split test --json > world.jsonl && genprm verify world.jsonl --out runs/world
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from genprm.cli import console

if TYPE_CHECKING:
    from genprm.lab.world import WorldSolution


def lab(
    limit: Annotated[int, typer.Option(min=1, help="Solutions to print.")] = 6,
    split: Annotated[Literal["train", "curate", "test"], typer.Option(help="Part of the world.")] = "train",
    held_out: Annotated[bool, typer.Option("--held-out", help="The story families that training never saw.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed, other problems.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Solution records, for genprm verify.")] = False,
) -> None:
    """Print problems, solutions and truth of the micro-world."""
    from genprm.lab.world import solutions
    from genprm.records import dump_line, solution_to_dict

    found = islice(solutions(seed, "test" if held_out else split, held_out=held_out), limit)
    for number, solution in enumerate(found):
        if as_json:
            name = f"world-{'held-out' if held_out else split}-{seed}-{number}"
            typer.echo(dump_line(solution_to_dict(solution.record(name))))
        else:
            _show(console.out(), solution)


def _show(to: Console, solution: WorldSolution) -> None:
    kind = "no error" if solution.kind == "clean" else f"first error: step {solution.label}, {solution.kind}"
    to.rule(f"{solution.problem.family} · {kind}", align="left", style="dim")
    to.print(Text(solution.problem.text))
    for index, step in enumerate(solution.steps):
        verdict = "new error" if step.new_error else "" if step.prefix_ok else "after the error"
        style = "red" if step.new_error else "green" if step.prefix_ok else "yellow"
        to.print(Text.assemble((f"{index:3} ", style), step.text, (f"  {verdict}", style)))
    to.print(Text(f"    answer {solution.problem.answer}", style="dim"))
