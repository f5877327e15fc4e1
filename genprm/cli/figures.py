"""The tables of ``genprm evaluate`` and ``genprm compare``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from genprm.cli import console

if TYPE_CHECKING:
    from genprm.evaluate.best_of_n import BestOfN, BestOfNRuns
    from genprm.evaluate.diagnostics import Calibration
    from genprm.evaluate.statistics import Interval, Spread

NONE = "–"
AGGREGATED = ("min", "mean", "product", "last")


def print_table(to: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table; what files hold must not steer the terminal."""
    grid = console.grid(*columns)
    for row in rows:
        grid.add_row(*(Text(console.printable(cell)) for cell in row))
    to.print(grid)


def say(to: Console, sentence: str) -> None:
    """One line, however wide the terminal is."""
    to.print(Text(console.printable(sentence)), soft_wrap=True)


def shown(figure: Interval | Spread | None) -> str:
    """A figure with its interval."""
    return NONE if figure is None else figure.describe()


def print_best_of_n(to: Console, found: BestOfNRuns) -> None:
    """One table a run, or one of means and standard deviations over runs."""
    for run in found.runs:
        say(to, f"{run.source}: {run.problems} problems, {run.samples} samples; per cent, 95 % intervals over problems")
        say(to, f"single samples: {run.mean.describe()}")
        for remark in _remarks(run):
            say(to, remark)
        if len(found.runs) == 1:
            _print_curves(to, run.sizes, run.curves)
            _print_selected(to, run)
    if found.mean is not None:
        say(to, f"mean ± standard deviation of {found.mean.runs} runs; single samples: {found.mean.describe()}")
        _print_curves(to, found.runs[0].sizes, found.curves)


def _print_curves(to: Console, sizes: Sequence[int], curves: Mapping[str, Sequence[Interval | Spread]]) -> None:
    """A table of what selects answers and one of what selects samples: a terminal is not wide enough for both."""
    scores = [name for name in curves if name in AGGREGATED]
    answers = [name for name in curves if name not in AGGREGATED]
    for names in filter(None, (answers, scores)):
        columns = [{"pass": "pass@N", "reward": "best reward"}.get(name, name) for name in names]
        columns = [f"best {name}" if name in AGGREGATED else name for name in columns]
        rows = [[str(size), *(curves[name][place].describe() for name in names)] for place, size in enumerate(sizes)]
        print_table(to, ("N", *columns), rows)


def _remarks(run: BestOfN) -> Iterable[str]:
    if run.without_answer:
        yield f"{run.without_answer} samples have no answer: they vote for nothing"
    if run.without_score:
        yield f"{run.without_score} samples have a step without reward: they are selected last and have no weight"
    if run.weights is None:
        yield "a reward is below 0, so there is no weighted vote"
    elif run.weights != "reward":
        yield f"the weighted vote sums the {run.weights} of step rewards"
    if run.last_minimum is not None:
        yield f"solutions whose lowest reward is at the last step: {run.last_minimum.describe()} %"


def _print_selected(to: Console, run: BestOfN) -> None:
    if run.right_with_wrong_step:
        say(to, "right answers that are selected, with a wrong step")
        _print_curves(to, run.sizes, run.right_with_wrong_step)
    print_calibration(to, run.calibration, "of scores as the chance of a right answer")


def print_calibration(to: Console, found: Mapping[str, Calibration], what: str) -> None:
    """Brier and ECE of each, and the reliability of the first."""
    if not found:
        return
    say(to, f"calibration {what}")
    rows = [[name, str(one.count), f"{one.brier:.3f}", f"{one.ece:.3f}"] for name, one in found.items()]
    print_table(to, ("score", "number", "Brier", "ECE"), rows)
    name, first = next(iter(found.items()))
    bins = [
        [f"{one.low:.1f}–{one.high:.1f}", str(one.count), f"{one.predicted:.3f}", f"{one.observed:.3f}"]
        for one in first.bins
        if one.count
    ]
    print_table(to, (name, "number", "predicted", "observed"), bins)
