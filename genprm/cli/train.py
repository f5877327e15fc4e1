"""``genprm train RECIPE --out DIR``: the train stage of a recipe; the same command again continues it.

genprm train tiny.yaml --out runs/tiny --data gsm8k/train.jsonl max_minutes=5
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from genprm.cli import console
from genprm.errors import InputError

DATA = "gsm8k"
"""The data set that a bare --data PATH stands for."""


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of one that ships.")],
    out: Annotated[Path, typer.Option(help="Run directory; the model goes into its folder model.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]PATH", help="A local copy of a data set: gsm8k (the NAME left out) or steps."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training, instead of the recipe's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
) -> None:
    """Train the model of a recipe."""
    from genprm.train.training import train as run

    to = console.err()
    changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
    with console.stoppable(out):
        trained = run(
            recipe, out, data=_copies(data or ()), overrides=changes, dry_run=dry_run,
            report=lambda line: to.print(Text(line), soft_wrap=True),
        )  # fmt: skip
    if trained is not None:
        loss = "" if trained.loss is None else f", loss {trained.loss:.4f}"
        size, minutes = f"{trained.parameters / 1e6:.1f}M parameters", f"{trained.minutes:.0f} minutes"
        line = f"{trained.folder}: {size}, {trained.steps} steps in {minutes}{loss}"
        console.out().print(Text(line), soft_wrap=True)


def _copies(given: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Data set name to local path."""
    copies: dict[str, str] = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not equals or Path(entry).exists():
            name, path = DATA, entry
        if name in copies:
            raise InputError(f"--data names '{name}' twice; give one path for each data set")
        copies[name] = path
    return copies
