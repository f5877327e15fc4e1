"""Where the command line writes: results to stdout, everything about the work in progress to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

STOPPED = 130
"""Exit code of a command that Ctrl-C ended."""
DIVERGED = 4
"""Of a training whose own values made it impossible: a sweep goes on without it."""
UNSEEN_COLUMNS = 200
"""Width of what no terminal shows: rows of a table stay whole in a file and in a pipe."""
_SAID = ("genprm.engines", "genprm.execution")


def out() -> Console:
    """The console of results. Brackets and colons in what it prints are only that."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNSEEN_COLUMNS
    return Console(highlight=False, soft_wrap=False, markup=False, emoji=False, width=width)


def err() -> Console:
    """The console of progress and remarks."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def stoppable(folder: Path) -> Iterator[None]:
    """Ctrl-C within ends the program, saying how to go on; ``folder`` is the command's run directory."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"what is finished is kept in {folder}: " if folder.exists() else ""
        err().print(f"stopped; {kept}run the same command again to continue", soft_wrap=True)
        raise typer.Exit(STOPPED) from None


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"event": "log", "level": record.levelname.lower(), "message": record.getMessage()})


def log_to_stderr(*, as_json: bool = False) -> None:
    """Show warnings, and which engine and sandbox "auto" is; what else the library logs is for the run directory."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(_SAID))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; what fails in the end is said by us
    for name in _SAID:
        logging.getLogger(name).setLevel(logging.INFO)


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the option stands on the command line."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def help_without_verb(context: typer.Context) -> None:
    """A command whose verb was left out says what verbs there are."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def reward(value: float | None) -> Text:
    """A reward as text in its colour: red below 0.5, yellow to 0.75, green above."""
    if value is None:
        return Text("–", style="dim")
    style = "red" if value < 0.5 else "yellow" if value < 0.75 else "green"
    return Text(f"{value:.2f}", style=style)


def first_error(label: int | None) -> Text:
    """A label as a person says it."""
    if label is None:
        return Text("not known", style="dim")
    return Text("no error", style="green") if label < 0 else Text(f"step {label}", style="red")


def printable(text: str) -> str:
    """The text without control characters: what others wrote must not steer the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def grid(*columns: str) -> Table:
    """A plain table with these columns."""
    made = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column)
    return made
