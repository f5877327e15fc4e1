"""How fast reports are written, opened and filtered, and how much memory writing one takes.

``python tests/benchmarks/view_speed.py --out FOLDER [--items 5000] [--index 100000] [--votes 4] [--steps 6]``

Makes a run of ``--items`` solutions, one of ``--index``, and a folder of runs with as many in all, every vote with a
rationale and code; opens the pages in headless Chromium and takes pictures. Time to the first view is from the start of
loading until the first item and its votes are drawn; the start of the browser is not in it. Filter time is from a press
of a filter until the list is drawn. Search is of what the list shows; the last column is of all texts, steps and
rationales among them, until every part beside the page was looked through.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.console import Console
from rich.table import Table

from genprm.records.lines import dump_line
from genprm.view.index import index, write
from tests.view.chromium import browse, watch
from tests.view.example import item, solution, step, vote
from tests.view.example import write as write_run

RUNS = 20
"""Runs that the index is over."""
LARGE = (1, 3)
"""Votes and steps of the run with most items: what is measured there is the list."""
_CLOCK = """<script>
const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
const tell = (name, value) => console.log(`${name} ${value}`);
(async () => {
  while (data && !document.querySelector(".vote")) await drawn();
  await drawn();
  tell("first", Math.round(performance.now()));
  if (!data) return tell("all", 0);
  for (const [name, field, value] of [["filter", "f", "wrong"], ["sort", "s", "lowest"], ["search", "q", "s77"]]) {
    const start = performance.now();
    change(field, value);
    await drawn();
    tell(name, Math.round(performance.now() - start));
  }
  change("f", "");
  const start = performance.now();
  change("q", `of ${data.rows.length - 1}:`);
  while (!shown.length || document.getElementById("said").textContent.includes("searched")) await drawn();
  tell("texts", Math.round(performance.now() - start));
  tell("all", 0);
})();</script>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--index", type=int, default=100_000)
    parser.add_argument("--votes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    columns = "page,items,records MB,written in s,peak GB so far,page MB,first view ms,filter ms,sort ms,search ms"
    table = Table(*columns.split(","), "all texts ms")
    run = made(options.out / "run", options.items, options.votes, options.steps)
    measure(table, "report", run, options.items, lambda: write(run).path)
    large = made(options.out / "large", options.index, *LARGE)
    measure(table, "report", large, options.index, lambda: write(large).path)
    each = options.index // RUNS
    for place in range(RUNS):
        made(options.out / f"several/run-{place:02}", each, 1, 1)
    several = options.out / "several"
    measure(table, f"index of {RUNS} runs", several, options.index, lambda: index([several]))
    Console(width=170).print(table)


def measure(table: Table, name: str, folder: Path, items: int, work: Any) -> None:
    """Write a page, open it, and add a row."""
    size = sum(path.stat().st_size for path in folder.rglob("*.jsonl"))
    start = time.perf_counter()
    page: Path = work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    profile = page.parent / ".chromium"
    browse(page, profile, f"--screenshot={page.with_suffix('.png')}", "--window-size=1440,1000",
           "--virtual-time-budget=5000")  # fmt: skip
    timed = timings(page, profile)
    table.add_row(
        name, f"{items:,}", f"{size / 1e6:.0f}", f"{seconds:.1f}", f"{peak:.2f}", f"{page.stat().st_size / 1e6:.1f}",
        *(timed.get(one, "–") for one in ("first", "filter", "sort", "search", "texts")),
    )  # fmt: skip


def timings(page: Path, profile: Path) -> dict[str, str]:
    """What a clock in a copy of the page says; its own policy would not let one in."""
    text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page.read_text(encoding="utf-8"))
    copy = page.with_name("timed.html")
    copy.write_text(text.replace("</body>", f"{_CLOCK}</body>"), encoding="utf-8")
    said = watch(copy, profile, "all 0")
    copy.unlink()
    return dict(line.split() for line in said if re.fullmatch(r"\w+ \d+", line))


def made(folder: Path, items: int, votes: int, steps: int) -> Path:
    """A run directory, written line by line; as it was, if it is there."""
    if (folder / "items.jsonl").exists():
        return folder
    write_run(folder, [], [], [])
    dice = random.Random(0)
    with (
        (folder / "solutions.jsonl").open("w") as solutions,
        (folder / "votes.jsonl").open("w") as cast,
        (folder / "items.jsonl").open("w") as found,
    ):
        for place in range(items):
            name, wrong = f"s{place}", dice.randrange(-1, steps)
            texts = [f"Step {index} of {place}: 12 boxes of 3 beads are 36 beads." for index in range(steps)]
            solutions.write(dump_line(solution(name, texts, label=wrong)) + "\n")
            table = list(rewards(dice, wrong, votes, steps))
            cast.writelines(
                json.dumps(vote(name, index, [step(one, 36 if one > 0.5 else 32) for one in row])) + "\n"
                for index, row in enumerate(table)
            )
            means = [sum(column) / votes for column in zip(*table, strict=True)]
            first = next((index for index, mean in enumerate(means) if mean < 0.5), -1)
            found.write(dump_line(item(name, list(means), first, votes)) + "\n")
    return folder


def rewards(dice: random.Random, wrong: int, votes: int, steps: int) -> Iterator[list[float]]:
    """Of each vote: low at the wrong step, high elsewhere, now and then the other way round."""
    for _ in range(votes):
        yield [
            round(1 - value if dice.random() < 0.05 else value, 4)
            for index in range(steps)
            for value in [dice.betavariate(1, 8) if index == wrong else dice.betavariate(8, 1)]
        ]


if __name__ == "__main__":
    main()
