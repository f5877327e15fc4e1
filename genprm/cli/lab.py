"""``genprm lab``: the micro-world: solutions to read, problems to sample solutions of, and the truth of a run.

genprm lab --limit 2
genprm lab --limit 1000 --split test --json > world.jsonl && genprm verify world.jsonl --out runs/world
genprm lab --problems 300 --split curate --out runs/problems
genprm lab runs/rollouts --truth runs/problems/problems.jsonl --out runs/labelled
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from genprm.cli import console
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.lab.world import WorldSolution


def lab(
    run: Annotated[Path | None, typer.Argument(help="A rollout run to label with --truth.", metavar="[RUN]")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Solutions to print.")] = 6,
    split: Annotated[
        Literal["train", "curate", "test"] | None,
        typer.Option(help="Part of the world; default: train, and curate for --problems."),
    ] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="The story families that training never saw.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed, other problems.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Solution records, for genprm verify.")] = False,
    problems: Annotated[int | None, typer.Option(min=1, help="Write so many problems, for genprm rollout.")] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="PROBLEMS", help="The problems of RUN: label its solutions.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for problems, or for RUN with its truth.")] = None,
) -> None:
    """Print solutions of the micro-world, make problems, or label a run with the truth."""
    if (run is None) != (truth is None) or (run is not None and problems is not None):
        raise InputError("RUN and --truth PROBLEMS go together, and without --problems; give both or neither")
    if (out is None) != (run is None and problems is None):
        raise InputError("--out is for --problems and for RUN, which need it; give the two together")
    if problems is not None and as_json:
        raise InputError("--json is for solutions, not for --problems, which are JSONL as they are; leave it out")
    if held_out and split not in (None, "test"):
        raise InputError(f"--held-out families exist in the test split alone; leave out --split {split}")
    if out is None:
        _print(limit, "test" if held_out else split or "train", held_out, seed, as_json)
        return
    from genprm.lab.runs import label_run, write_problems

    try:
        if run is not None and truth is not None:
            found = label_run(run, truth, out)
            steps = ", ".join(f"{count} {finding}" for finding, count in found.most_common())
            said = f"{out}: {found.total()} steps labelled: {steps}"
        else:
            part = "test" if held_out else split or "curate"
            written = write_problems(out, problems or 1, seed, part, held_out=held_out)
            said = f"{written} problems in {out / 'problems.jsonl'}"
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror}; choose another --out folder") from error
    console.out().print(said, soft_wrap=True, highlight=False)


def _print(limit: int, split: Literal["train", "curate", "test"], held_out: bool, seed: int, as_json: bool) -> None:
    from genprm.lab.world import solutions
    from genprm.records import dump_line, solution_to_dict

    found = islice(solutions(seed, split, held_out=held_out), limit)
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
