"""``genprm view DIR``: write report.html of a run directory and say where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprm.cli import console


def view(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory, finished or not.")],
) -> None:
    """Write report.html of any run directory."""
    from genprm.view import report

    console.out().print(f"{report(run)}", soft_wrap=True)
