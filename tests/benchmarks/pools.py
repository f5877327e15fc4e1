"""What several benchmarks do with the micro-world's data: commands as a user would give them, and pools of samples."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprm.records import dump_line
from genprm.records.lines import read_lines, write_lines


def genprm(*words: object, out: Path) -> None:
    """Run a command of genprm into ``out``, unless it ended before; how long it took lies beside it."""
    spent, log = out.with_name(out.name + ".spent.json"), out.with_name(out.name + ".log")
    if not spent.exists():
        begun = time.monotonic()
        line = ["genprm", *map(str, words), "--out", str(out)]
        out.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as told:
            ended = subprocess.run(
                [sys.executable, "-m", *line], stdout=told, stderr=told, stdin=subprocess.DEVNULL, check=False
            )
        if ended.returncode:
            raise SystemExit(f"{' '.join(line)}\nended with {ended.returncode}; {log} says why")
        spent.write_text(json.dumps({"seconds": time.monotonic() - begun, "command": " ".join(line)}) + "\n")


@dataclass(frozen=True, slots=True)
class Pool:
    """Samples of problems, labelled; ``distinct`` holds each text once, which is what a verifier needs to read."""

    name: str
    samples: Path
    distinct: Path

    def spread(self, run: Path, out: Path) -> Path:
        """The rewards of a run over ``distinct`` for every sample, as a file of ``genprm evaluate``."""
        rewards = {key(record): item["rewards"] for record, item in _judged(run)}
        rows = [{**record, "reward": rewards[key(record)]} for _, record in read_lines(self.samples)]
        write_lines(out, rows)
        return out


def key(record: Mapping[str, Any]) -> str:
    """What is the same for samples of the same text."""
    return dump_line({"problem": record["problem"], "steps": record["steps"]})


def _judged(run: Path) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    items = {item["id"]: item for _, item in read_lines(run / "items.jsonl")}
    return [(record, items[record["id"]]) for _, record in read_lines(run / "solutions.jsonl")]


def pool(
    name: str, out: Path, *, problems: int, samples: int, seed: int, split: str = "test", policy: str = "policy-tiny",
    drawn: int | None = None,
) -> Pool:  # fmt: skip
    """Sample a policy on problems of the micro-world and label every solution with the truth.

    ``seed``: of the problems, and of the samples unless these have their own, ``drawn``.
    """
    made = out / name
    genprm("lab", "--problems", problems, "--seed", seed, "--split", split, out=made / "problems")
    genprm(
        "rollout", made / "problems/problems.jsonl", "--model", policy, "--samples", samples, "--max-samples", samples,
        "--keep", 1, "--k", 1, "--difficulty", "all", "--temperature", 0.6, "--max-tokens", 300,
        "--engine-option", "max_batch=256", "--seed", seed if drawn is None else drawn,
        out=made / "rollouts",
    )  # fmt: skip
    genprm("lab", made / "rollouts", "--truth", made / "problems/problems.jsonl", out=made / "truth")
    return distinct(name, made / "truth" / "sampled.jsonl")


def sample_tokens(made: Path) -> float:
    """Tokens of one sample, the mean of a pool that ``pool`` made in this folder."""
    counts = json.loads((made / "rollouts/metrics.json").read_text())["samples"]
    samples = sum(int(count) for name, count in counts.items() if name != "tokens")
    return float(counts["tokens"]) / samples


def distinct(name: str, samples: Path) -> Pool:
    """The pool of a file of samples; with more samples at the file's end its texts begin as before."""
    found = samples.with_name(f"distinct-{samples.name}")
    seen: dict[str, Any] = {}
    for _, record in read_lines(samples):
        seen.setdefault(key(record), record)
    write_lines(found, seen.values())
    return Pool(name, samples, found)
