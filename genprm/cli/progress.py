"""The live display of a long run: a bar with rates on a terminal, a line now and then where there is none.

It also shows, once, the first prompt that the model gets and the first thing that it wrote, so that a wrong template or
a model that does not follow the format is seen before the long part, not after it.
"""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import IO, Any, Self

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


class Live:
    """A bar over ``noun``, and examples. A context manager; its methods may be called from any thread."""

    def __init__(self, console: Console, noun: str, *, examples: bool = True) -> None:
        self._console = console
        self._examples = examples
        self._said = time.monotonic()
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} {task.fields[noun]}"),
            TextColumn("{task.fields[rates]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("run", total=None, noun=noun, rates="loading the model")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, done: int, total: int, noun: str, shown: str, left: str) -> None:
        """So much is done; ``shown``: rates, ``left``: time left."""
        self._bar.update(self._task, total=total, completed=done, noun=noun, rates=shown)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._said > EVERY_S or done == total):
            self._said = now
            self._console.print(f"{done}/{total} {noun} · {shown} · ETA {left}", soft_wrap=True)

    def example(self, title: str, text: str) -> None:
        if not self._examples:
            return
        cut = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n...\n{text[-LONGEST // 2 :]}"
        self._console.rule(title, align="left", style="dim")
        self._console.print(Text(console.printable(cut.rstrip())), soft_wrap=True)
        self._console.rule(style="dim")


class LiveDisplay(Live):
    """The display of a verify run."""

    def __init__(self, console: Console, *, examples: bool = True) -> None:
        super().__init__(console, "votes", examples=examples)

    def prompt(self, text: str, id: str) -> None:
        """The first prompt, which is of this solution."""
        self.example(f"first prompt: {id}, step 0", text)

    def vote(self, beat: Beat) -> None:
        """One more vote finished."""
        if self._examples and (rationale := first_rationale(beat.vote)):
            self.example(f"first rationale to be ready: {beat.vote.id}, vote {beat.vote.vote}", rationale)
            self._examples = False
        left = eta(beat.done, beat.total, beat.tally.votes, beat.seconds)
        self.advance(beat.done, beat.total, "votes", rates(beat), left)


class AnswerDisplay(Live):
    """The display of questions to models, task by task."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "answers", examples=False)
        self._begun: dict[str, tuple[float, int]] = {}

    def answered(self, task: str, there: int, wanted: int) -> None:
        """So many answers of the annotator or the judge are there."""
        begun, known = self._begun.setdefault(task, (time.monotonic(), there))
        fresh, seconds = there - known, max(time.monotonic() - begun, 1e-3)
        noun = f"answers of the {task}"
        self.advance(there, wanted, noun, f"{fresh / seconds:.1f} answers/s", eta(there, wanted, fresh, seconds))


class JsonEvents:
    """The same for programs: one JSON object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every line is out already."""

    def say(self, event: str, **fields: Any) -> None:
        """One line."""
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()


class JsonLines(JsonEvents):
    """The events of a verify run: the first prompt and each vote."""

    def prompt(self, text: str, id: str) -> None:
        """The first prompt."""
        self.say("prompt", id=id, text=text)

    def vote(self, beat: Beat) -> None:
        """One more vote finished."""
        # "votes" of the tally are those of this run; "done" counts those of earlier ones too.
        self.say(
            "vote", id=beat.vote.id, vote=beat.vote.vote, done=beat.done, total=beat.total, items_done=beat.items_done,
            items_total=beat.items_total, seconds=round(beat.seconds, 3), cell_ms_median=beat.tally.cell_ms,
            **beat.tally.as_dict(),
        )  # fmt: skip


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


def eta(done: int, total: int, fresh: int, seconds: float) -> str:
    """Time left, at the pace so far: ``fresh`` of those done are of these seconds."""
    left = round((total - done) * seconds / max(1, fresh))
    return f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"


def first_rationale(vote: Vote) -> str:
    """The first thing that a vote wrote; empty if it wrote nothing."""
    return next((step.rationale for step in vote.steps if step.rationale), "")
