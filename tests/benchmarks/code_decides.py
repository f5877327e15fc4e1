"""Does the judgement follow what the code printed? The true output is swapped for its opposite at replay.

``python tests/benchmarks/code_decides.py RUN [--model DIR] [--limit 300]``

``RUN`` is a run directory of mode code. From it steps are drawn whose last code output says True or False and whose
judgement was read; in each, every True of the last output becomes False and the reverse, and the model writes on from
there. The judgement is expected to flip.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from genprm import Solution, Vote, read_solutions, resources
from genprm.engines import open_engine
from genprm.evaluate.statistics import mean_interval
from genprm.execution import open_sandbox
from genprm.rationale.settings import Settings
from genprm.records import vote_from_dict
from genprm.records.lines import read_lines
from genprm.types import CodeRun
from genprm.verify import replay_step
from tests.benchmarks.measure import SAMPLING, finish, table

_VERDICT = re.compile(r"\b(True|False)\b")
_OTHER = {"True": "False", "False": "True"}

Place = tuple[Solution, Vote, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="run directory of mode code")
    parser.add_argument("--model", default="genprm-tiny")
    parser.add_argument("--out", type=Path, default=Path("runs/code-decides"))
    parser.add_argument("--limit", type=int, default=300, help="steps to replay")
    parser.add_argument("--votes", type=int, default=None, help="draw from the first N votes only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    places, passed_over = eligible(options.run, options.votes)
    random.Random(options.seed).shuffle(places)
    chosen = places[: options.limit]
    outcomes = asyncio.run(replay_all(chosen, options.model))
    report(outcomes, len(places), passed_over, options.out)


def eligible(run: Path, votes: int | None) -> tuple[list[Place], int]:
    """The judged steps whose last code output says True or False, and the number of judged steps that it does not."""
    solutions = {solution.id: solution for solution in read_solutions(str(run / "solutions.jsonl")).solutions}
    places: list[Place] = []
    passed_over = 0
    for _, record in read_lines(run / "votes.jsonl"):
        vote = vote_from_dict(record)
        if votes is not None and vote.vote >= votes:
            continue
        for index, step in enumerate(vote.steps):
            if step.status != "judged" or step.mode != "code":
                continue
            if step.code and _VERDICT.search(step.code[-1].output):
                places.append((solutions[vote.id], vote, index))
            else:
                passed_over += 1
    return places, passed_over


def swapped(runs: tuple[CodeRun, ...]) -> Callable[[CodeRun], str]:
    """The edit: the last output with True and False exchanged, the others as they are."""
    last = runs[-1]

    def edit(run: CodeRun) -> str:
        return _VERDICT.sub(lambda found: _OTHER[found[1]], run.output) if run == last else run.output

    return edit


async def replay_all(places: list[Place], model: str) -> list[tuple[str, str]]:
    """(judgement before, judgement after) of every place; after is ``none`` where none was read."""
    engine, sandbox = open_engine("auto", resources.model(model)), open_sandbox("auto")
    gate = asyncio.Semaphore(32)

    async def one(place: Place) -> tuple[str, str]:
        solution, vote, index = place
        stored = vote.steps[index]
        async with gate:
            verdict = await replay_step(
                solution, vote, index, engine=engine, settings=Settings(mode="code"), sampling=SAMPLING,
                edit_output=swapped(stored.code), sandbox=sandbox,
            )  # fmt: skip
        return str(stored.judgement), str(verdict.judgement or "none")

    try:
        return await asyncio.gather(*(one(place) for place in places))
    finally:
        await engine.aclose()
        await sandbox.aclose()


def report(outcomes: list[tuple[str, str]], places: int, passed_over: int, out: Path) -> None:
    flipped = [after == {"Yes": "No", "No": "Yes"}[before] for before, after in outcomes]
    share = mean_interval(np.array(flipped, dtype=float)).times(100)
    counts = Counter(outcomes)
    rows = [[f"{before} to {after}", count] for (before, after), count in sorted(counts.items())]
    note = (
        f"The judgement flips in {share.describe()} % of {len(outcomes)} steps, drawn from {places} whose code printed "
        f"True or False ({passed_over} judged steps printed neither)."
    )
    figures = {"flipped": share, "steps": len(outcomes), "eligible": places, "passed_over": passed_over}
    finish(out, [table("The code decides", ["judgement", "steps"], rows, note)], figures)


if __name__ == "__main__":
    main()
