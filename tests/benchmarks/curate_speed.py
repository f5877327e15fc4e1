"""How long 100,000 candidates take through every filter and into a data set, and how much memory that needs.

``python tests/benchmarks/curate_speed.py [--candidates 100000] [--out DIR]``

Candidates are made up, with the sizes of GenPRM-MATH-Data: 3 to 9 steps, rationales of about 1,300 characters with
one code round, problems with 5 solutions each, one solution in twenty a copy of another. Making them is not counted.
Besides the time on the clock the processor time is shown, which a busy machine does not stretch. Memory is the largest
of the whole process, so it holds the candidates themselves, which a pipeline has read anyway.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.curate.consensus import GenPRMConsensus, implied_labels
from genprm.curate.contamination import Decontaminate
from genprm.curate.data_card import Card
from genprm.curate.duplicates import NearDuplicates
from genprm.curate.evidence import Candidate
from genprm.curate.export import Conversations, ExtraTokens, Format, StepTags, export
from genprm.curate.filters import Balance, CodeConflict, Funnel, Length, PerProblem, Stage, Truncate, sift
from genprm.rationale.conflict import code_verdicts
from genprm.rationale.grammar import CodeRound, Rationale
from genprm.types import Solution
from tests.benchmarks.measure import finish, table

_PARTS = ("ba", "co", "du", "fe", "gi", "lo", "mu", "ne", "pi", "ra", "su", "te", "vo", "wi", "xe", "zu")
WORDS = [a + b + c for a in _PARTS for b in _PARTS for c in _PARTS] + [str(number) for number in range(1000)]


def prose(rng: random.Random, count: int) -> str:
    """Words and numbers, as solutions mix them."""
    return " ".join(rng.choices(WORDS, k=count))


def candidates(count: int, rng: random.Random) -> Iterator[Candidate]:
    """Candidates of which about half will be dropped by the consensus."""
    problem, last = "", None
    for number in range(count):
        if number % 5 == 0:
            problem = prose(rng, 40)
        if last is not None and rng.random() < 0.05:
            yield replace(last, solution=replace(last.solution, id=f"s{number:06}"))
            continue
        steps = tuple(f"Step {n + 1}: {prose(rng, 24)}" for n in range(rng.randint(3, 9)))
        index = rng.choice([-1, rng.randrange(len(steps))])
        labels = implied_labels(index, len(steps))
        rationales = tuple(
            Rationale(
                prose(rng, 140),
                (CodeRound(f"# {prose(rng, 20)}\nprint({n} == {n})", f"{bool(label)}\n"),),
                "Yes" if label else "No",
            )
            for n, label in enumerate(labels)
        )
        votes = (index,) * 4 if rng.random() < 0.6 else tuple(rng.randrange(-1, len(steps)) for _ in range(4))
        solution = Solution(problem, steps, id=f"s{number:06}", problem_id=f"p{number // 5}", generator="none")
        last = Candidate(
            solution, labels, (), rationales, votes, code=code_verdicts(rationales), tokens=(420,) * len(steps)
        )
        yield last


def chain(rng: random.Random) -> list[Stage]:
    tests = {"test-a": [prose(rng, 50) for _ in range(5000)], "test-b": [prose(rng, 10) for _ in range(1000)]}
    return [
        Decontaminate(tests),
        GenPRMConsensus(),
        Truncate(),
        CodeConflict(),
        Length(8192),
        NearDuplicates(),
        PerProblem(4),
        Balance(0.5),
    ]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("runs/curate-speed"))
    options = parser.parse_args()
    rng = random.Random(0)
    pool = list(candidates(options.candidates, rng))
    made_mb = peak_mb()
    rows: list[list[str]] = []
    left, funnel, total = pool, Funnel(()), Spent(0.0, 0.0)
    for stage in chain(rng):
        watch = Spent.now()
        sifted = sift(left, [stage])
        spent = Spent.now() - watch
        rows.append([stage.name, f"{len(left):,}", f"{len(sifted.kept):,}", "", *spent.shown()])
        total, left, funnel = total + spent, list(sifted.kept), funnel + sifted.funnel
    for format in (Conversations(), StepTags(), ExtraTokens()):
        spent, row = exported(left, options.out, format, funnel)
        rows.append(row)
        total += spent
    rows.append(["all of these", f"{len(pool):,}", "", "", *total.shown()])
    whole, row = exported(pool, options.out, Conversations(), Funnel(()))
    rows.append(row)
    figures = {"spent": total._asdict(), "export_all": whole._asdict(), "peak_mb": peak_mb(), "candidates_mb": made_mb}
    note = f"Largest memory {peak_mb():,.0f} MB, of which the candidates {made_mb:,.0f} MB."
    columns = ["stage", "in", "kept", "written", "clock", "processor"]
    finish(options.out, [table("Filters and export", columns, rows, note)], figures)


class Spent(NamedTuple):
    """Seconds of a part: on the clock and of the processor."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> Spent:
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.clock - other.clock, self.processor - other.processor)

    def __add__(self, other: object) -> Spent:
        assert isinstance(other, Spent)
        return Spent(self.clock + other.clock, self.processor + other.processor)

    def shown(self) -> list[str]:
        return [f"{self.clock:.1f} s", f"{self.processor:.1f} s"]


def exported(pool: list[Candidate], out: Path, format: Format, funnel: Funnel) -> tuple[Spent, list[str]]:
    """What one export took, and its line of the table."""
    folder = out / format.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    watch = Spent.now()
    written = export(pool, folder, format, Card("benchmark", "mit", funnel))
    spent = Spent.now() - watch
    size = (folder / "train.jsonl").stat().st_size / 1e6
    shutil.rmtree(folder)
    return spent, [f"export {format.name}", f"{len(pool):,}", f"{written.rows:,}", f"{size:,.0f} MB", *spent.shown()]


if __name__ == "__main__":
    main()
