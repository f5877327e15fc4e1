"""What labels are worth by their source and their number: one kind of verifier, the same number of training tokens.

``python tests/benchmarks/data_efficiency.py runs/micro --out runs/efficiency [--tokens 300000] [--seeds 0,1,2]``

A head (Qwen2.5-Math-PRM) is trained on 25, 50 and 100 % of as many solutions as the consensus keeps: on those that it
keeps, and on as many drawn at random with what the annotator, relative progress, the judge or the truth says of them.
Smaller sets are parts of larger ones. Run again, it continues.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.records.lines import read_lines, write_lines
from tests.benchmarks.measure import across, finish, table
from tests.benchmarks.pools import pool
from tests.benchmarks.verifiers import Bench, Method, arguments, figures, measured_on_validation, up_to

SHARES = (0.25, 0.5, 1.0)
RATE = 0.0005


def row_sets(run: Path, out: Path) -> dict[str, Path]:
    """A file of rows for each source and share."""
    solutions = {record["id"]: record for _, record in read_lines(run / "truth/selected.jsonl")}
    said = {item["id"]: item for _, item in read_lines(run / "data/items.jsonl")}
    kept = {item["id"]: item["agreed"] for _, item in read_lines(run / "siblings/items.jsonl") if item["kept"]}
    sources: dict[str, Mapping[str, Any]] = {
        "consensus": kept,
        "annotator": {name: item["annotator"] for name, item in said.items()},
        "relative progress": {name: item["first_error"] for name, item in said.items()},
        "judge": {name: item["judge"] for name, item in said.items()},
        "truth": {name: record["label"] for name, record in solutions.items()},
    }
    order = random.Random(0).sample(sorted(solutions), len(solutions))
    files = {}
    (out / "rows").mkdir(parents=True, exist_ok=True)
    for source, labels in sources.items():
        known = [name for name in order if labels.get(name) is not None][: len(kept)]
        for share in SHARES:
            rows = [up_to(solutions[name], labels[name]) for name in known[: round(share * len(known))]]
            name = f"{source.replace(' ', '-')}-{share:g}"
            write_lines(out / "rows" / f"{name}.jsonl", rows)
            files[name] = out / "rows" / f"{name}.jsonl"
    return files


def main() -> None:
    options = arguments(__doc__, "runs/efficiency", 300_000, 100).parse_args()
    rows = row_sets(options.run, options.out)
    bench = Bench(options.out, options.tokens, rows)
    validation = pool("validation", options.out, problems=options.validation, samples=8, seed=900, split="curate")
    test = pool("test", options.out, problems=options.problems, samples=8, seed=0)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    jobs = [(Method(name, "head", name, targets="hard"), seed) for seed in seeds for name in rows]

    def measure(job: tuple[Method, int]) -> dict[str, Any]:
        method, seed = job
        run = bench.train(method, RATE, seed)
        threshold = measured_on_validation(method, bench.score(run, method, validation, votes=1)[1])[1]
        own: dict[str, Any] = figures(bench, run, method, [test], threshold)["test"]
        return own

    with ThreadPoolExecutor(options.jobs) as workers:
        found = dict(zip(((method.name, seed) for method, seed in jobs), workers.map(measure, jobs), strict=True))
    report(rows, found, seeds, options)


def report(
    rows: Mapping[str, Path], found: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int], options: Any
) -> None:
    sources = list(dict.fromkeys(name.rpartition("-")[0] for name in rows))
    lines = []
    for source in sources:
        line: list[object] = [source]
        for share in SHARES:
            own = [found[f"{source}-{share:g}", seed] for seed in seeds]
            line += [across([one["f1"] for one in own]), across([one["best"][-1] for one in own])]
        lines.append(line)
    columns = ["labels by", *(f"{share:.0%}: {what}" for share in SHARES for what in ("F1", "best-of-8"))]
    count = sum(1 for _ in read_lines(rows["consensus-1"]))
    single = found[next(iter(found))]["mean"]
    note = (
        f"{count} solutions are 100 %; {options.tokens:,} training tokens each, {len(seeds)} seeds; single samples are "
        f"{single:.1f} % right."
    )
    finish(options.out, [table("Labels by source and number", columns, lines, note)], {})


if __name__ == "__main__":
    main()
