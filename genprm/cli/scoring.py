"""``genprm verify`` with a discriminative model: one pass over a solution instead of votes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from genprm import background
from genprm.cli import console, shared
from genprm.cli.results import print_results
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.records import Loaded


OPTIONS = {"source", "out", "model", "scorer", "limit", "dry_run"}
"""Of ``genprm verify``, those that mean something here."""


def check_options(context: typer.Context) -> None:
    """Raises ``InputError`` for options that are about votes, which there are none of."""
    given = [
        name for name in context.params
        if name not in OPTIONS and console.is_given(context, name)
    ]  # fmt: skip
    if given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(
            "a discriminative model reads a solution in one pass, without votes, code or replicas: leave out "
            f"{named}, or say --scorer generative"
        )


def run(model: str, scorer: str, loaded: Loaded, out: Path, to: Console, *, extent: dict[str, Any]) -> None:
    """Score into the run directory and print what was found. Ctrl-C ends the program, saying how to continue."""
    from genprm.runs.directory import begun
    from genprm.scorers import open_scorer
    from genprm.scorers.job import score_to_dir

    for note in loaded.notes:
        to.print(Text(note), soft_wrap=True)
    begun(out)  # a folder of other things is said before the model is loaded
    opened, started = open_scorer(model, scorer), time.monotonic()

    def progress(done: int, of: int) -> None:
        speed = done / max(time.monotonic() - started, 1e-9)
        to.print(f"{done} of {of} solutions, {speed:,.1f} items/s", soft_wrap=True)

    loop = background.shared()
    try:
        with console.stoppable(out):
            summary = loop.run(score_to_dir(loaded, out, opened, extent=extent, on_progress=progress))
    finally:
        loop.run(opened.aclose())
    shown = console.out()
    if summary.reused:
        shown.print(f"{summary.reused} solutions were scored before", soft_wrap=True)
    print_results(shown, loaded.solutions, summary.items, summary.metrics)
    shown.print(f"results in {out}; genprm view {out} makes a page of them", soft_wrap=True)


def plan(model: str, scorer: str, loaded: Loaded, out: Path) -> None:
    """What a run would do."""
    steps = sum(len(solution.steps) for solution in loaded.solutions)
    state = shared.state_of(out, "verify")
    for line in (
        *loaded.notes,
        f"{len(loaded.solutions)} solutions with {steps} steps from {loaded.source}",
        f"model {model}, scorer {scorer}: one pass over each solution, no votes and no code",
        f"run directory {out} {state}",
        "dry run: nothing was loaded or written",
    ):
        console.out().print(Text(line), soft_wrap=True)
