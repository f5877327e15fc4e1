"""What the benchmarks share: verify into a run directory that can be continued, and figures of any part of it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genprm import Solution, Verifier, Vote
from genprm.engines.base import Sampling
from genprm.evaluate import F1Result, Interval, f1_difference, pass_at_1
from genprm.evaluate.processbench import hits, vote_label, with_error
from genprm.evaluate.statistics import spread
from genprm.records import read_votes
from genprm.records.lines import write_lines
from genprm.records.solutions import solution_to_dict
from genprm.verify import Progress, aggregate

SAMPLING = Sampling(temperature=0.6, top_p=0.95, top_k=20)
"""Fixed before anything was measured: GenPRM's own."""

Predicted = list[int | None]


def arguments(description: str | None, out: str, votes: int = 8) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("--model", default="genprm-tiny", help="model folder or name")
    parser.add_argument("--out", type=Path, default=Path(out), help="run directories and figures.json; continued")
    parser.add_argument("--votes", type=int, default=votes)
    parser.add_argument("--limit", type=int, default=None, help="take only the first N solutions of each set")
    parser.add_argument("--seed", type=int, default=0, help="seed of votes and intervals; test sets have their own")
    parser.add_argument("--max-in-flight", type=int, default=None)
    return parser


@dataclass(frozen=True, slots=True)
class Judged:
    """Solutions with their votes."""

    solutions: tuple[Solution, ...]
    votes: dict[str, tuple[Vote, ...]]

    @property
    def labels(self) -> list[int]:
        return [solution.label for solution in self.solutions if solution.label is not None]

    def only(self, keep: Callable[[Solution], bool]) -> Judged:
        return Judged(tuple(s for s in self.solutions if keep(s)), self.votes)

    def first(self, votes: int) -> Judged:
        """The same solutions with their first votes only."""
        return Judged(self.solutions, {name: some[:votes] for name, some in self.votes.items()})

    def maj(self) -> list[Predicted]:
        """The label of all votes together, for each solution."""
        return [[aggregate(s, self.votes[s.id]).predicted_label] for s in self.solutions]

    def singles(self) -> list[Predicted]:
        """The label of each vote, for each solution."""
        return [[vote_label(vote) for vote in self.votes[s.id]] for s in self.solutions]

    def maj_f1(self, seed: int = 0) -> F1Result:
        return pass_at_1(self.maj(), self.labels, seed=seed)

    def pass_at_1(self, seed: int = 0) -> F1Result:
        return pass_at_1(self.singles(), self.labels, seed=seed)

    def gain(self, seed: int = 0) -> Interval:
        """F1 of all votes minus F1 of single ones, in points, paired."""
        maj, single = hits(self.maj(), self.labels), hits(self.singles(), self.labels)
        return f1_difference(maj, single, with_error(self.labels), seed=seed).times(100)


def judge(
    solutions: Sequence[Solution], out: Path, options: argparse.Namespace, *, votes: int | None = None, **settings: Any
) -> Judged:
    """Verify ``solutions`` into ``out``, continuing what is there. ``settings`` are those of ``Verifier``."""
    count = votes or options.votes
    print(f"{out.name}: {len(solutions)} solutions, {count} votes each", file=sys.stderr)
    shown = Shown()
    with Verifier(
        options.model, votes=count, seed=options.seed, sampling=SAMPLING,
        concurrency=options.max_in_flight, **settings,
    ) as verifier:  # fmt: skip
        summary = verifier.verify_to_dir(solutions, out, on_progress=shown)
    stored = read_votes(summary.path / "votes.jsonl")
    return Judged(tuple(solutions), {name: tuple(some[:count]) for name, some in stored.items()})


class Shown:
    """One line a minute."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 60

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() < self._next and progress.done < progress.total:
            return
        self._next = time.monotonic() + 60
        rate = progress.tally.tokens / max(progress.seconds, 1e-9)
        failed = progress.tally.steps["failed"]
        print(
            f"  {progress.done}/{progress.total} votes, {progress.seconds / 60:.1f} min, {rate:,.0f} tokens/s, "
            f"{failed} failed steps",
            file=sys.stderr,
            flush=True,
        )


def limited(solutions: Sequence[Solution], limit: int | None) -> tuple[Solution, ...]:
    return tuple(solutions[:limit])


def show(figure: Interval | None) -> str:
    return "" if figure is None else figure.describe()


def across(values: Sequence[float]) -> str:
    """Mean and standard deviation of figures of several seeds; empty for none."""
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else ""
    one = spread(values)
    return f"{one.mean:.1f} ± {one.std:.1f}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> dict[str, Any]:
    """A table as the model card takes it."""
    return {"title": title, "note": note, "columns": list(columns), "rows": [list(row) for row in rows]}


def finish(out: Path, tables: Sequence[dict[str, Any]], figures: dict[str, Any]) -> None:
    """Print the tables and write ``figures.json``."""
    for one in tables:
        print(f"\n{one['title']}\n{one['note']}")
        cells = [one["columns"], *([str(cell) for cell in row] for row in one["rows"])]
        widths = [max(len(str(row[place])) for row in cells) for place in range(len(one["columns"]))]
        for row in cells:
            print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"tables": list(tables), "figures": figures}, indent=2, default=asdict)
    (out / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(f"\nfigures in {out / 'figures.json'}")


def keep_records(out: Path, name: str, solutions: Sequence[Solution]) -> None:
    """The test set as a file that ``genprm verify`` takes too."""
    out.mkdir(parents=True, exist_ok=True)
    write_lines(out / f"{name}.jsonl", [solution_to_dict(solution) for solution in solutions])
