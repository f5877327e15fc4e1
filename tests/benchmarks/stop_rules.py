"""What each stop rule saves, replayed on the votes of complete runs, and how often it changes the predicted label.

``python tests/benchmarks/stop_rules.py RUN [RUN ...] [--votes 8] [--risk 0.01]``

``RUN`` is a finished run directory of ``--settle all``. Votes are handed to the rules as they ask for them, cut to the
steps asked for, and the tokens of what they took are counted. The oracle is the most that an exact rule could save on
the same votes: it takes one vote at a time, so it always knows all earlier ones before it starts the next. ``--fit``
prints the prior that explains the votes best, for ``genprm/verify/risk.py``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import Solution, Vote
from genprm.records import read_votes
from genprm.records.lines import read_lines
from genprm.records.solutions import solution_from_dict
from genprm.types import Settled, StepVerdict
from genprm.verdicts import values
from genprm.verify import aggregate
from genprm.verify.course import Course, Unit
from genprm.verify.stopping import Stop
from genprm.verify.store import MemoryVotes
from tests.benchmarks.measure import finish, table

RULES: tuple[Settled, ...] = ("labels", "first-error", "risk")


@dataclass(frozen=True, slots=True)
class OneByOne(Stop):
    """The same rule, never starting two votes at once."""

    def least_more(self, columns: Sequence[Sequence[float]], remaining: int) -> int:
        return min(1, Stop.least_more(self, columns, remaining))


@dataclass(slots=True)
class Taken:
    """What a rule took, over all solutions."""

    votes: int = 0
    tokens: int = 0
    changed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--votes", type=int, default=8)
    parser.add_argument("--risk", type=float, default=Stop().risk)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/stop-rules"))
    options = parser.parse_args()
    cases = [case for run in options.runs for case in complete(run, options.votes)]
    if not cases:
        parser.error(
            f"no solution of these runs has {options.votes} complete votes; give a finished run of --settle all"
        )
    if options.fit:
        print("prior", best_prior([votes for _, votes in cases]))
        return
    full = sum(tokens(vote) for _, votes in cases for vote in votes)
    rows, figures = [], {}
    for settle in RULES:
        taken, oracle = (replayed(cases, rule) for rule in (Stop(settle, options.risk), OneByOne(settle, options.risk)))
        saved, most = (1 - one.tokens / full for one in (taken, oracle))
        figures[settle] = {
            "tokens_saved": saved, "votes": taken.votes / len(cases), "one_by_one_saves": most,
            "changed": taken.changed, "changed_at_most": upper_bound(taken.changed, len(cases)),
        }  # fmt: skip
        rows.append([
            settle, f"{taken.votes / len(cases):.2f}", f"{100 * saved:.1f} %", f"{100 * most:.1f} %",
            f"{100 * saved / most:.1f} %", f"{taken.changed} of {len(cases)}",
            f"{100 * figures[settle]['changed_at_most']:.2f} %",
        ])  # fmt: skip
    columns = ["rule", "votes", "tokens saved", "one by one", "of that", "other labels", "at most (95 %)"]
    note = f"{len(cases)} solutions, {options.votes} votes, risk {options.risk:g}; labels are the predicted ones."
    finish(options.out, [table(f"Stop rules at Maj@{options.votes}", columns, rows, note)], figures)


def complete(run: Path, count: int) -> Iterator[tuple[Solution, list[Vote]]]:
    """The solutions of a run that have so many votes, with these."""
    stored: Mapping[str, Sequence[Vote]] = read_votes(run / "votes.jsonl")
    for _, record in read_lines(run / "solutions.jsonl"):
        solution = solution_from_dict(record)
        votes = sorted(stored.get(solution.id, ()), key=lambda vote: vote.vote)[:count]
        if len(votes) == count:
            yield solution, votes


def replayed(cases: Sequence[tuple[Solution, list[Vote]]], rule: Stop) -> Taken:
    taken = Taken()
    for solution, votes in cases:
        course = Course(solution, len(votes), MemoryVotes(), stop=rule, key=lambda _, index: str(index))
        units = course.start()
        while units:
            units = [more for unit in units for more in course.add(cut(votes[unit.vote], unit))]
        taken.votes += len(course.votes())
        taken.tokens += sum(tokens(vote) for vote in course.votes())
        taken.changed += course.result().predicted_label != aggregate(solution, votes).predicted_label
    return taken


def cut(vote: Vote, unit: Unit) -> Vote:
    """The vote as it would have been run."""
    rest = [StepVerdict("not_run", step.mode) for step in vote.steps[unit.steps :]]
    return replace(vote, key=unit.key, steps=(*vote.steps[: unit.steps], *rest))


def tokens(vote: Vote) -> int:
    return sum(step.tokens for step in vote.steps)


def upper_bound(events: int, cases: int) -> float:
    """Of a share, with 95 % confidence (Clopper and Pearson, one-sided): the largest that still gives so few events."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        chance = sum(math.comb(cases, k) * middle**k * (1 - middle) ** (cases - k) for k in range(events + 1))
        low, high = (middle, high) if chance > 0.05 else (low, middle)
    return high


def best_prior(cases: Sequence[Sequence[Vote]]) -> tuple[float, float]:
    """The pseudo-counts of Yes and No under which the votes on steps are most likely; of a coarse grid."""
    columns = [
        values(column, "mean") for votes in cases for column in zip(*(vote.steps for vote in votes), strict=True)
    ]
    counts = [(math.fsum(column), len(column)) for column in columns]
    grid = [math.exp(power / 4) for power in range(-20, 5)]

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def likelihood(prior: tuple[float, float]) -> float:
        yes, no = prior
        return sum(log_beta(yes + total, no + count - total) - log_beta(yes, no) for total, count in counts)

    return max(((yes, no) for yes in grid for no in grid), key=likelihood)


if __name__ == "__main__":
    main()
