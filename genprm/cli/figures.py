"""The tables of ``genprm evaluate`` and ``genprm compare``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from genprm.cli import console

if TYPE_CHECKING:
    from genprm.evaluate.benchmark import Benchmark
    from genprm.evaluate.best_of_n import BestOfN, BestOfNRuns
    from genprm.evaluate.calibration import Calibration
    from genprm.evaluate.compare import Comparison
    from genprm.evaluate.gold import GoldUse
    from genprm.evaluate.prmbench import PRMBench
    from genprm.evaluate.processbench import F1Result, Report
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


def print_gold(to: Console, use: GoldUse | None) -> None:
    """What a file of labels and answers was used for."""
    from genprm.evaluate.gold import sentences

    for line in () if use is None else sentences(use):
        say(to, line)


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


def print_processbench(to: Console, found: Benchmark, curve: Mapping[int, F1Result]) -> None:
    """Each subset of each run, the mean of subsets, and how runs differ."""
    for number, run in enumerate(found.runs, start=1):
        if len(found.runs) > 1:
            say(to, f"run {number} of {len(found.runs)}")
        chosen = f", chosen on {run.chosen_on}" if run.chosen_on else ""
        if run.threshold != 0.5 or run.chosen_on:
            say(to, f"threshold {run.threshold:g}{chosen}")
        for name, report in run.subsets.items():
            _print_report(to, name, report, brief=len(found.runs) > 1)
        if run.mean_f1 is not None:
            say(to, f"mean F1 of {len(run.subsets)} subsets: {run.mean_f1.describe()}")
    if found.spreads:
        say(to, f"F1, mean ± standard deviation of {len(found.runs)} runs")
        print_table(to, ("subset", "F1"), [[name, one.describe()] for name, one in found.spreads.items()])
    if curve:
        from genprm.evaluate.scaling import describe

        print_table(to, ("votes", "F1", "first error found", "correct accepted"), describe(curve))


def _print_report(to: Console, name: str, report: Report, *, brief: bool) -> None:
    say(
        to,
        f"{name}: {report.solutions} solutions with a label, {report.unlabelled} without; per cent, 95 % intervals",
    )
    if report.unfinished:
        say(to, f"{report.unfinished} of them are not finished, and count as they stand: without a verdict as a miss; "
                "run the same genprm verify command again")  # fmt: skip
    named = [("all votes", report.maj)]
    if report.pass_at_1 is not None:
        named.append((f"single votes ({report.votes})", report.pass_at_1))
    print_table(
        to,
        ("", "F1", "first error found", "correct accepted", "no verdict"),
        [
            [name, one.f1.describe(), one.error_accuracy.describe(), one.correct_accuracy.describe(), str(one.unknown)]
            for name, one in named
        ],
    )
    if brief:
        return
    if report.difference is not None:
        say(to, f"all votes together over single ones, paired: {report.difference.describe()} points")
    if report.recall:
        print_table(to, ("kind", "answered rightly"), [[kind, one.describe()] for kind, one in report.recall.items()])
    for dimension, groups in report.groups.items():
        rows = [
            [one.name, str(one.erroneous), str(one.correct), shown(one.f1), shown(one.error_accuracy),
             shown(one.correct_accuracy)]
            for one in groups
        ]  # fmt: skip
        columns = (dimension, "with error", "without", "F1", "first error found", "correct accepted")
        print_table(to, columns, rows)
    _print_diagnostics(to, report)


def _print_diagnostics(to: Console, report: Report) -> None:
    if report.last_minimum is not None:
        say(to, f"solutions whose lowest reward is at the last step: {report.last_minimum.describe()} %")
    if (behind := report.behind_right_answers) is not None:
        say(to, f"right answers with a wrong step: {behind.solutions}, {behind.share.describe()} % of right answers")
        say(to, f"of them some step is called wrong: {shown(behind.found)} %, the first one: {shown(behind.exact)} %")
    if report.calibration is not None:
        print_calibration(to, {"step": report.calibration}, "of step rewards, up to the first error")
    if (tokens := report.tokens) is not None:
        say(
            to,
            f"{tokens.total:,} tokens: {tokens.per_solution:,.1f} a solution, {tokens.per_rationale:,.1f} a rationale",
        )


def print_prmbench(to: Console, found: PRMBench) -> None:
    """Two tables a run (a terminal is not wide enough for one), or one of means and standard deviations."""
    for run in found.runs:
        say(to, f"{run.source}: {run.pairs} pairs; per cent, 95 % intervals over problems")
        every = {"overall": run.overall, **run.categories}
        counts = [
            [name, str(one.solutions), str(one.steps), str(one.wrong_steps),
             shown(one.prm_score if one.wrong_steps else None), shown(one.first_error)]
            for name, one in every.items()
        ]  # fmt: skip
        print_table(to, ("category", "solutions", "steps", "wrong", "PRMScore", "first error"), counts)
        parts = [
            [name, one.f1.describe(), shown(one.negative_f1 if one.wrong_steps else None), one.accuracy.describe()]
            for name, one in every.items()
        ]
        print_table(to, ("category", "F1", "negative F1", "accuracy"), parts)
        if run.beyond:
            say(to, f"{run.beyond} solutions name a wrong step behind their last one: such steps are left out")
        if unjudged := sum(one.unjudged for one in run.categories.values()):
            say(to, f"{unjudged} steps have no reward: they count as judged wrongly")
    if found.spreads:
        say(to, f"mean ± standard deviation of {len(found.runs)} runs")
        names = list(found.spreads["overall"])
        rows = [[name, *(shown(one.get(figure)) for figure in names)] for name, one in found.spreads.items()]
        print_table(to, ("category", *names), rows)


FLIPS = 10
"""Flipped items that are listed."""


def print_comparison(to: Console, found: Comparison) -> None:
    """The figure of every system, and every pair."""
    say(to, f"{found.figure} on {found.items} {'problems' if found.bench == 'best-of-n' else 'solutions'}, per cent")
    print_table(to, ("", found.figure), [[name, f"{value:.1f}"] for name, value in found.systems])
    for pair in found.pairs:
        adjusted = "" if pair.p_holm is None else f", {pair.p_holm:.4f} after Holm for {len(found.pairs)} pairs"
        say(
            to,
            f"{pair.first} minus {pair.second}: {pair.difference.describe()} points, paired; p {pair.p:.4f}{adjusted}",
        )
        for name, items in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
            say(to, f"better with {name}: {len(items)}{_listed(items)}")


def _listed(items: Sequence[str]) -> str:
    shown_ = ", ".join(item if len(item) <= 40 else item[:39] + "…" for item in items[:FLIPS])
    return f" ({shown_}{', ...' if len(items) > FLIPS else ''})" if items else ""


def print_reference(to: Console, bench: str, ours: Mapping[str, float] | None = None) -> None:
    """Published numbers with their sources; ``ours`` by column, above those of every table that has such columns."""
    from genprm.evaluate.reference import published

    for table in published(bench):
        say(to, f"published: {table.title}")
        own = {name: f"{value:.1f}" for name, value in (ours or {}).items() if name in table.columns}
        rows = [["this run", *(own.get(name, NONE) for name in table.columns), ""]] if own else []
        sources = list(dict.fromkeys(row.source for row in table.rows))
        rows += [
            [row.model, *(f"{row.figures[name]:.1f}" if name in row.figures else NONE for name in table.columns),
             f"[{1 + sources.index(row.source)}]"]
            for row in table.rows
        ]  # fmt: skip
        print_table(to, ("model", *table.columns, ""), rows)
        for number, source in enumerate(sources, start=1):
            say(to, f"[{number}] {source}")
