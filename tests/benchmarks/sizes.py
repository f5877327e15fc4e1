"""The same rows for verifiers of three sizes: genprm-tiny, and what is left of it with fewer of its layers.

``python tests/benchmarks/sizes.py runs/micro --out runs/sizes --rows runs/verifiers [--layers 2,4,6] [--seeds 0,1,2]``

RUN and the options are those of ``verifiers.py``; ``--rows`` is what that one left, whose rows, pools and learning
rates are taken over (and whose trainings stand for all layers). Layers are taken evenly from the first to the last,
embeddings stay. Tested on the training policy, on the stronger one and on families that no model was trained on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import ModuleList
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import resources
from tests.benchmarks.measure import across, finish, table
from tests.benchmarks.pools import Pool, pool
from tests.benchmarks.verifiers import (
    BASE,
    METHODS,
    Bench,
    Method,
    arguments,
    figures,
    held_out,
    measured_on_validation,
)


def shortened(layers: int, out: Path) -> tuple[str, int]:
    """(name or folder, parameters) of the base with so many of its layers."""
    place = resources.model(BASE)
    model = AutoModelForCausalLM.from_pretrained(place)
    whole = model.config.num_hidden_layers
    if layers == whole:
        return BASE, model.num_parameters()
    kept = [round(place) for place in np.linspace(0, whole - 1, layers)]
    model.model.layers = ModuleList(model.model.layers[place] for place in kept)
    model.config.num_hidden_layers = layers
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[place] for place in kept]
    folder = out / f"base-{layers}"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(place).save_pretrained(folder)
    return str(folder), model.num_parameters()


def main() -> None:
    parser = arguments(__doc__, "runs/sizes", 400_000, 40)
    parser.add_argument("--rows", type=Path, default=Path("runs/verifiers"), help="what verifiers.py left")
    parser.add_argument("--layers", default="2,4,6")
    parser.add_argument("--only", default="generative,token-soft", help="names of methods, by commas")
    options = parser.parse_args()
    out, given = options.out, options.rows
    kept = json.loads((given / "figures.json").read_text())["figures"]["rates"]
    rows = {path.stem: path for path in (given / "rows").glob("*.jsonl")}
    validation = pool("validation", given, problems=options.validation, samples=8, seed=900, split="curate")
    pools = [pool("test", given, problems=options.problems, samples=8, seed=0)]
    pools += [pool("strong", given, problems=options.problems, samples=4, seed=0, policy="policy-strong")]
    pools += [held_out(given, 3 * options.problems)]
    sizes = {layers: shortened(layers, out) for layers in map(int, options.layers.split(","))}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    chosen = [method for method in METHODS if method.name in options.only.split(",")]
    jobs = [(method, layers, seed) for seed in seeds for layers in sizes for method in chosen]

    def measure(job: tuple[Method, int, int]) -> dict[str, Any]:
        method, layers, seed = job
        base = sizes[layers][0]
        bench = Bench(given if base == BASE else out / f"{layers}-layers", options.tokens, rows, base)
        return measured(bench, method, kept[method.name], seed, validation, pools)

    with ThreadPoolExecutor(options.jobs) as workers:
        found = dict(zip(jobs, workers.map(measure, jobs), strict=True))
    report(chosen, {layers: count for layers, (_, count) in sizes.items()}, seeds, found, options)


def measured(
    bench: Bench, method: Method, rate: float, seed: int, validation: Pool, pools: Sequence[Pool]
) -> dict[str, Any]:
    """The figures of one training, with one vote."""
    single = replace(method, votes=1)
    run = bench.train(single, rate, seed)
    threshold = measured_on_validation(single, bench.score(run, single, validation, votes=1)[1])[1]
    return figures(bench, run, single, pools, threshold)


def report(
    chosen: Sequence[Method], sizes: Mapping[int, int], seeds: Sequence[int],
    found: Mapping[tuple[Method, int, int], Mapping[str, Any]], options: Any,
) -> None:  # fmt: skip
    lines = []
    for method in chosen:
        for layers, count in sizes.items():
            own = [found[method, layers, seed] for seed in seeds]
            line: list[object] = [method.name, layers, f"{count / 1e6:.2f}M"]
            for name in ("test", "strong"):
                line += [across([one[name]["f1"] for one in own]), across([one[name]["best"][-1] for one in own])]
            lines.append([*line, across([one["families"]["f1"] for one in own])])
    columns = ["verifier", "layers", "parameters", "policy-tiny: F1", "best-of-8", "policy-strong: F1", "best-of-4",
               "other families: F1"]  # fmt: skip
    note = f"{options.tokens:,} training tokens each, one vote, {len(seeds)} seeds, mean and standard deviation."
    finish(options.out, [table("Verifiers of three sizes from the same rows", columns, lines, note)], {})


if __name__ == "__main__":
    main()
