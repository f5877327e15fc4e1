"""``genprm sandbox``: the image that code runs in."""

from __future__ import annotations

from typing import Annotated

import typer

from genprm.cli import console

sandbox = typer.Typer(help="The sandbox: its image.", no_args_is_help=True)


@sandbox.command("build")
def build(
    from_host: Annotated[
        bool, typer.Option("--from-host", help="Out of this machine's Python, numpy and sympy; needs no registry.")
    ] = False,
) -> None:
    """Make the image of the docker sandbox."""
    from genprm.execution import daemon, image

    api = daemon.connect()
    try:
        with daemon.failures():
            built = image.build_from_host(api) if from_host else image.build(api)
    finally:
        api.close()
    console.out().print(f"{built.reference} {built.digest}", soft_wrap=True)
