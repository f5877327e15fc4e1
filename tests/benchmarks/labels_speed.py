"""How long it takes to read rollouts and to label them under every rule, and how much memory.

``python tests/benchmarks/labels_speed.py [--solutions 100000] [--steps 8] [--file]``

Eight solutions to a problem, 32 completions a step, 128 from the problem alone. ``--file`` writes the rollouts to a
file first and times reading that as well. Labelling is array work; only records (one a solution) are made in a loop.
Seconds are those of the processor, which says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.console import Console
from rich.table import Table

from genprm.curate import RULES, Counts, best_candidates, label_arrays
from genprm.records import read_rollouts, rollout_to_dict
from genprm.records.lines import dump_line
from genprm.types import Rollout

PER_PROBLEM = 8
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--solutions", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=8, help="of each solution")
    parser.add_argument("--file", action="store_true", help="read the rollouts from a file as well")
    options = parser.parse_args()
    table = Table(
        "what", "seconds", "peak GB so far", title=f"{options.solutions:,} solutions of {options.steps} steps"
    )

    def timed(what: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        result = work()
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        table.add_row(what, f"{seconds:.3f}", f"{peak:.2f}")
        return result

    if options.file:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rollouts.jsonl"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(dump_line(rollout_to_dict(one)) + "\n" for one in rollouts(options))
            timed("read from a file", lambda: Counts.from_rollouts(read_rollouts(path)))
    rows = list(rollouts(options))
    counts = timed(f"{len(rows):,} rollouts to columns", lambda: Counts.from_rollouts(rows))
    for rule, meant in RULES.items():
        labelled = timed(rule, lambda rule=rule: label_arrays(counts, rule))
        if meant.confident is not None:
            timed(f"{rule}, confidence 0.95", lambda rule=rule: label_arrays(counts, rule, confidence=0.95))
    timed("first errors", labelled.first_errors)
    timed("best candidates", lambda: best_candidates(labelled))
    timed("records", labelled.records)
    Console().print(table)


def rollouts(options: argparse.Namespace) -> Iterator[Rollout]:
    """Always the same. A fifth of the prefixes has no correct completion."""
    dice = random.Random(0)

    def row(name: str, problem: str, step: int, correct: int, total: int) -> Rollout:
        return Rollout(f"{name}/{step}", name, problem, step, "policy", total, correct, total, 0, 0)

    for place in range(options.solutions):
        problem, name = f"p{place // PER_PROBLEM}", f"s{place}"
        if place % PER_PROBLEM == 0:
            yield row(problem, problem, -1, dice.randint(1, 128), 128)
        for step in range(options.steps - 1):
            yield row(name, problem, step, dice.randrange(33) * (dice.random() > 0.2), 32)
        yield row(name, problem, options.steps - 1, dice.randrange(2), 1)


if __name__ == "__main__":
    main()
