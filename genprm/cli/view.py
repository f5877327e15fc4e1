"""``genprm view DIR``: report.html of a run directory; of several runs an index too; agreement of annotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from genprm.cli import console
from genprm.errors import InputError

SHOWN = 20
"""Differences that are listed of each two annotators."""


def view(
    paths: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Run directories, finished or not, or a folder of some.")
    ],
    out: Annotated[Path | None, typer.Option(help="Where the index of several runs is to be.")] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="The paths are files of annotations: how far they agree.")
    ] = False,
) -> None:
    """Write report.html of a run of verify, rollout, curate, critique or a policy's training; of several, an index."""
    from genprm.view import index, report, runs_in

    if agreement:
        if out is not None:
            raise InputError("--out is for the index of several runs; --agreement writes no file, so leave it out")
        _agreement(paths)
    elif len(paths) == 1 and out is None and (not paths[0].is_dir() or runs_in(paths[0]) in ([paths[0]], [])):
        console.out().print(f"{report(paths[0])}", soft_wrap=True)
    else:
        console.out().print(f"{index(paths, out)}", soft_wrap=True)


def _agreement(paths: Sequence[Path]) -> None:
    from genprm.curate.human import read_annotations
    from genprm.view.agreement import kappa

    if len(paths) < 2:
        raise InputError("agreement needs two files of annotations or more; give the one of each annotator")
    found = {path: read_annotations(path) for path in paths}
    for one, other in combinations(paths, 2):
        if not found[one].keys() & found[other].keys():
            raise InputError(f"{one} and {other} have no solution in common; give annotations of the same solutions")
    to = console.out()
    for one, other in combinations(paths, 2):
        measured = kappa(found[one], found[other])
        beyond = "not defined" if measured.value is None else f"{measured.value:.3f}"
        share = "–" if measured.share is None else f"{100 * measured.share:.1f} %"
        to.print(f"{one} and {other}: the same first error on {measured.same} of {measured.known} ({share}), "
                 f"Cohen's kappa {beyond}", soft_wrap=True, markup=False)  # fmt: skip
        if measured.differ:
            rows = console.grid("solution", one.name, other.name)
            for name, (index, theirs) in list(measured.differ.items())[:SHOWN]:
                rows.add_row(console.printable(name), console.first_error(index), console.first_error(theirs))
            to.print(rows)
        if len(measured.differ) > SHOWN:
            to.print(f"and {len(measured.differ) - SHOWN} more")
