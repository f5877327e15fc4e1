"""The live display of a verify run: a bar with rates on a terminal, a line now and then where there is none.

It also shows, once, the first prompt that the model gets and the first rationale that it wrote, so that a wrong
template or a model that does not follow the format is seen before the long part, not after it.
"""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from genprm.cli import console
from genprm.types import Vote
from genprm.verify.metrics import Progress as Beat
from genprm.verify.metrics import Tally

LONGEST = 2400
"""Characters shown of a first prompt or rationale."""
EVERY_S = 15.0
"""Seconds between two lines where there is no terminal."""


class LiveDisplay:
    """A context manager; give its methods the events of the run, from any thread."""

    def __init__(self, console: Console, *, examples: bool = True) -> None:
        self._console = console
        self._examples = examples
        self._said = time.monotonic()
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} votes"),
            TextColumn("{task.fields[rates]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("verify", total=None, rates="loading the model")

    def __enter__(self) -> LiveDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def prompt(self, text: str, id: str) -> None:
        """The first prompt, which is of this solution."""
        self._example(f"first prompt: {id}, step 0", text)

    def vote(self, beat: Beat) -> None:
        """One more vote finished."""
        if self._examples and (rationale := first_rationale(beat.vote)):
            self._example(f"first rationale to be ready: {beat.vote.id}, vote {beat.vote.vote}", rationale)
            self._examples = False
        shown = rates(beat)
        self._bar.update(self._task, total=beat.total, completed=beat.done, rates=shown)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._said > EVERY_S or beat.done == beat.total):
            self._said = now
            self._console.print(f"{beat.done}/{beat.total} votes · {shown} · ETA {eta(beat)}", soft_wrap=True)

    def _example(self, title: str, text: str) -> None:
        if not self._examples:
            return
        cut = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n...\n{text[-LONGEST // 2 :]}"
        self._console.rule(title, align="left", style="dim")
        self._console.print(Text(console.printable(cut.rstrip())), soft_wrap=True)
        self._console.rule(style="dim")


class JsonLines:
    """The same for programs: one JSON object a line, for the first prompt and for each vote."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every line is out already."""

    def prompt(self, text: str, id: str) -> None:
        """The first prompt."""
        self._say("prompt", id=id, text=text)

    def vote(self, beat: Beat) -> None:
        """One more vote finished."""
        self._say(
            "vote", id=beat.vote.id, vote=beat.vote.vote, done=beat.done, total=beat.total, items_done=beat.items_done,
            items_total=beat.items_total, seconds=round(beat.seconds, 3), cell_ms_median=beat.tally.cell_ms,
            **beat.tally.as_dict(),
        )  # fmt: skip

    def _say(self, event: str, **fields: Any) -> None:
        # "votes" of the tally are those of this run; "done" counts those of earlier ones too.
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()


def rates(beat: Beat) -> str:
    """items/s, tokens/s, code success, parse failures, median of the latest cells in the sandbox."""
    seconds = max(beat.seconds, 1e-3)
    steps = beat.tally.steps["judged"] + beat.tally.steps["failed"]
    parse = f"{100 * beat.tally.failures['no_judgement'] / steps:.1f} %" if steps else "–"
    items = beat.tally.votes / max(1, beat.total) * beat.items_total / seconds
    cells = "" if beat.tally.cell_ms is None else f" · cells {beat.tally.cell_ms:.1f} ms"
    return (
        f"{items:.2f} items/s · {beat.tally.tokens / seconds:,.0f} tokens/s · "
        f"code ok {code_success(beat.tally)} · parse failures {parse}{cells}"
    )


def code_success(tally: Tally) -> str:
    """Share of the code blocks that ran without error, of those that were to run."""
    ran = tally.code.total() - tally.code["not_run"]
    return f"{100 * tally.code['ok'] / ran:.1f} %" if ran else "–"


def eta(beat: Beat) -> str:
    """Time left, at the pace so far."""
    left = round((beat.total - beat.done) * beat.seconds / max(1, beat.tally.votes))
    return f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"


def first_rationale(vote: Vote) -> str:
    """The first thing that a vote wrote; empty if it wrote nothing."""
    return next((step.rationale for step in vote.steps if step.rationale), "")
