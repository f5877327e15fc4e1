"""The command line: one module per verb, each a thin caller of the library.

Exit codes: 0 done · 1 a fault of genprm itself · 2 the input or an option is wrong, said in one sentence on stderr,
with nothing written · 3 the engine, the sandbox or the grader is down · 4 a training diverged ·
130 stopped, from the keyboard or by SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from genprm.cli import (
    compare,
    console,
    critique,
    curate,
    demo,
    evaluate,
    lab,
    replay,
    rollout,
    run_recipe,
    sandbox,
    search,
    train,
    verify,
    view,
)
from genprm.errors import Diverged, EngineUnavailable, GenPRMError, GraderUnavailable, SandboxUnavailable

__all__ = ["app", "main"]

app = typer.Typer(
    name="genprm",
    help="Generative process reward models. Each verb says more with VERB --help.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("verify")(verify.verify)
app.command("critique")(critique.critique)
app.command("search")(search.search)
app.command("rollout")(rollout.rollout)
app.command("curate")(curate.curate)
app.add_typer(evaluate.evaluate, name="evaluate")
app.command("compare")(compare.compare)
app.command("train")(train.train)
app.command("run", cls=run_recipe.Command)(run_recipe.run)
app.command("view")(view.view)
app.command("replay")(replay.replay)
app.command("lab")(lab.lab)
app.add_typer(sandbox.sandbox, name="sandbox")


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"genprm {version('genprm')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    which: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    console.help_without_verb(context)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    # A scheduler that ends the job is answered as Ctrl-C is: what is finished is kept and summed up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every foreseen failure is one sentence on stderr."""
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="genprm", standalone_mode=False)
    except typer.TyperException as error:
        wrong = error.format_message().rstrip(".").replace("Value error, ", "")
        return _refuse(f"{wrong}; genprm --help and genprm VERB --help say what there is", 2)
    except (EngineUnavailable, SandboxUnavailable, GraderUnavailable) as error:
        return _refuse(str(error), 3)
    except Diverged as error:
        return _refuse(str(error), console.DIVERGED)
    except GenPRMError as error:
        return _refuse(str(error), 2)
    return result if isinstance(result, int) else 0


def _refuse(sentence: str, code: int) -> int:
    # A message of a library may hold line breaks; the promise is one line.
    sys.stderr.write(f"genprm: {console.printable(' '.join(sentence.split()))}\n")
    return code
