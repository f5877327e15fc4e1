"""A verify run of the shipped model, killed at random moments and gone on with, against one that was left alone.

``python tests/benchmarks/killed_run.py IN [--solutions 24] [--votes 4] [--kills 6]``

The model's arithmetic depends on what it is batched with, so rewards may differ in their last bits; text and judgement
should not.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LONGEST_S = 300.0
"""After so long without a vote a run counts as stuck."""


def votes(folder: Path) -> list[dict[str, Any]]:
    """Finished votes; the last line may be torn."""
    path = folder / "votes.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def said(vote: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["rationale"], step["judgement"]) for step in vote["steps"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source")
    parser.add_argument("--solutions", type=int, default=24)
    parser.add_argument("--votes", type=int, default=4)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/killed-run"))
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)

    def command(folder: Path) -> list[str]:
        extent = ["--limit", str(options.solutions), "--votes", str(options.votes)]
        return [sys.executable, "-m", "genprm", "verify", options.source, *extent, "--out", str(folder)]

    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    calm, killed = options.out / "calm", options.out / "killed"
    subprocess.run(command(calm), check=True, **quiet)
    rng, kills = random.Random(options.seed), 0
    while kills < options.kills:
        with subprocess.Popen(command(killed), **quiet) as run:
            before, deadline = len(votes(killed)), time.monotonic() + LONGEST_S
            while run.poll() is None and len(votes(killed)) == before and time.monotonic() < deadline:
                time.sleep(0.05)
            if run.poll() is not None:
                break  # nothing was left to do
            time.sleep(rng.uniform(0, 1.5))
            run.kill()
        kills += 1
    subprocess.run(command(killed), check=True, **quiet)
    wanted, found = {vote["key"]: vote for vote in votes(calm)}, votes(killed)
    same = sum(said(wanted[vote["key"]]) == said(vote) for vote in found)
    bits = sum(wanted[vote["key"]] == vote for vote in found)
    print(
        f"{kills} kills: {len(found)} votes, {len({vote['key'] for vote in found})} of them distinct, "
        f"{len(wanted)} in the calm run; {same} with the same text and judgement, {bits} to the last bit"
    )


if __name__ == "__main__":
    main()
