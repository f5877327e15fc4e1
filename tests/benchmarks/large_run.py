"""A run too large for memory: 100,000 solutions with 8 votes each. What does it cost to go on with it?

``python tests/benchmarks/large_run.py [--solutions 100000] [--votes 8] [--appended 1000] [--out DIR]``

Votes of 4 kB are written to a run directory as a finished run would have left them, but for the last ``--appended``
solutions. Then the same run is called again, with the scripted engine: the time until the keys of all votes are known
(the resume scan), the votes that are appended, and what is derived in the end, with the largest memory of the process.
The same is done for a tenth of the solutions: times ten in each column means that no step is quadratic.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import Solution, Vote
from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.rationale.settings import Settings
from genprm.records import Loaded, vote_to_dict
from genprm.records.lines import dump_line, write_lines
from genprm.records.solutions import solution_to_dict
from genprm.runs import RunDirectory
from genprm.runs.configuration import Configuration
from genprm.types import StepVerdict
from genprm.verify import Judge, Progress, verify_to_dir
from genprm.verify.seeds import vote_key, vote_seed
from genprm.verify.store import line_is_cut
from tests.benchmarks.measure import finish, table

IDENTITY = {"model": "scripted"}
STEPS = 3
RATIONALE = "x" * 1300


def solution(number: int) -> Solution:
    return Solution(f"Problem {number}", tuple(f"step {n}" for n in range(STEPS)), id=f"s{number}")


def write(prompt: str, request: GenerationRequest) -> str:
    if prompt.endswith("$\\boxed"):
        return "{Yes}$\n</output>\n"
    return "fine.\n</analyze>\n<output>\n**Judgement**: $\\boxed{Yes}$\n</output>\n"


def generate(out: Path, solutions: list[Solution], votes: int) -> int:
    """A run directory as a finished run of these leaves it; the bytes of its votes."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    write_lines(out / "solutions.jsonl", map(solution_to_dict, solutions))
    (out / "config.yaml").write_text(Configuration("verify", IDENTITY, {}, "in").dump())
    step = StepVerdict("judged", "analyze", 0.9, 0.9, 0.1, "Yes", RATIONALE, (), 300)
    with (out / "votes.jsonl").open("w") as file:
        for one in solutions:
            for index in range(votes):
                vote = Vote(vote_key(IDENTITY, one, index), one.id, index, vote_seed(0, one.id, index), (step,) * STEPS)
                file.write(dump_line(vote_to_dict(vote)) + "\n")
    return (out / "votes.jsonl").stat().st_size


def measure(out: Path, count: int, votes: int, appended: int) -> dict[str, Any]:
    """Go on with the run, in this process; seconds of each part."""
    solutions = [solution(number) for number in range(count)]
    configuration = Configuration("verify", IDENTITY, {}, "in")
    started = time.perf_counter()
    RunDirectory.open(out, configuration, solutions, mark=line_is_cut).close()
    scan = time.perf_counter() - started
    scan_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seen: list[float] = []

    def note(beat: Progress) -> None:
        seen.append(time.perf_counter())

    judge = Judge(ScriptedEngine(write), None, Settings(mode="analyze"))
    started = time.perf_counter()
    loaded = Loaded(tuple(solutions), source="in")
    summary = asyncio.run(verify_to_dir(loaded, out, judge, configuration, votes=votes, on_progress=note))
    assert (summary.metrics["votes"], summary.reused) == (count * votes, (count - appended) * votes)
    return {
        "scan_s": scan,
        "scan_mb": scan_mb,
        "until_first_vote_s": seen[0] - started,
        "appended_per_s": len(seen) / (seen[-1] - seen[0]),
        "derive_s": time.perf_counter() - seen[-1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--solutions", type=int, default=100_000)
    parser.add_argument("--votes", type=int, default=8)
    parser.add_argument("--appended", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/large-run"))
    options = parser.parse_args()
    rows, figures = [], {}
    for count in (options.solutions // 10, options.solutions):
        there = [solution(number) for number in range(count - options.appended)]
        size = generate(options.out / "run", there, options.votes)
        print(f"{count} solutions: {size / 1e9:.2f} GB written", file=sys.stderr, flush=True)
        with multiprocessing.get_context("spawn").Pool(1) as alone:  # memory of one part only
            one = alone.apply(measure, (options.out / "run", count, options.votes, options.appended))
        figures[count] = one
        rows.append([
            f"{len(there) * options.votes:,}", f"{size / 1e9:.2f} GB", f"{one['scan_s']:.1f} s",
            f"{one['scan_mb']:,.0f} MB", f"{one['until_first_vote_s']:.1f} s", f"{one['appended_per_s']:,.0f}",
            f"{one['derive_s']:.0f} s", f"{one['peak_mb']:,.0f} MB",
        ])  # fmt: skip
        shutil.rmtree(options.out / "run")
    columns = ["votes there", "file", "scan", "memory", "first new vote after", "new votes/s", "derived in", "peak"]
    finish(options.out, [table("Going on with a large run", columns, rows, "")], json.loads(json.dumps(figures)))


if __name__ == "__main__":
    main()
