"""Arithmetic slips in real text: GSM8K test solutions, half of them with one result changed.

``python tests/benchmarks/gsm8k_slips.py [--data DIR] [--model DIR] [--votes 8] [--per-class 200] [--model-rows 200]``

Three systems on the same rows: the verifier, a regex-and-eval calculator, and both on the rows that the calculator
cannot read (arithmetic in words, several operations, numbers of the problem). Then, on solutions that other models
wrote, the area under the curve of the smallest reward against the correctness of the final answer.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import Solution, read_solutions
from genprm.errors import InputError
from genprm.evaluate import F1Result, auroc, f1_difference, score
from genprm.evaluate.processbench import hits, with_error
from genprm.lab.gsm8k import calculator_first_error, hard_subset, slip_set
from genprm.train.data import read_gsm8k
from genprm.verify import aggregate
from tests.benchmarks.measure import Judged, arguments, finish, judge, keep_records, limited, show, table

TEST_SEED = 20260


def main() -> None:
    place = Path(os.environ.get("GENPRM_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    parser = arguments(__doc__, "runs/gsm8k-slips")
    parser.add_argument("--data", type=Path, default=place / "gsm8k", help="folder with test.jsonl")
    parser.add_argument("--per-class", type=int, default=200, help="rows with a slip, and as many without")
    parser.add_argument("--hard", type=int, default=100, help="as many again of rows that the calculator cannot read")
    parser.add_argument("--model-rows", type=int, default=200, help="solutions of model_solutions.jsonl; 0 for none")
    parser.add_argument("--model-votes", type=int, default=4)
    options = parser.parse_args()
    rows = read_gsm8k(str(options.data / "test.jsonl"), "test")
    sets = {
        "all": limited(slip_set(rows, per_class=options.per_class, seed=TEST_SEED), options.limit),
        "hard": limited(slip_set(rows, per_class=options.hard, seed=TEST_SEED, hard=True), options.limit),
    }
    tables: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    results = []
    for name, solutions in sets.items():
        keep_records(options.out, name, solutions)
        judged = judge(solutions, options.out / f"slips-{name}", options, mode="code")
        title = "all rows" if name == "all" else "rows that the calculator cannot read"
        results.append(compare(title, judged, options))
        if name == "all":
            part = judged.only(in_(hard_subset(solutions)))
            if {label >= 0 for label in part.labels} == {True, False}:
                results.append(compare("those of all rows that the calculator cannot read", part, options))
    columns = ["rows", "number", f"Maj@{options.votes} F1", "Pass@1 F1", "calculator F1", "gain over it", "no verdict"]
    note = f"Half with one slip, half untouched; test seed {TEST_SEED}; per cent with 95 % intervals, gain paired."
    tables.append(table("GSM8K test, arithmetic slips", columns, [row for row, _ in results], note))
    figures["slips"] = [found for _, found in results]
    if options.model_rows:
        one, figures["model_solutions"] = real_errors(options)
        tables.append(one)
    finish(options.out, tables, figures)


def in_(part: list[Solution]) -> Any:
    names = {solution.id for solution in part}
    return lambda solution: solution.id in names


def compare(name: str, judged: Judged, options: argparse.Namespace) -> tuple[list[object], dict[str, Any]]:
    """One row of the table, and its figures."""
    labels, seed = judged.labels, options.seed
    rule: list[list[int | None]] = [[calculator_first_error(solution.steps)] for solution in judged.solutions]
    baseline: F1Result = score([row[0] for row in rule], labels, seed=seed)
    maj, single = judged.maj_f1(seed), judged.pass_at_1(seed)
    gain = f1_difference(hits(judged.maj(), labels), hits(rule, labels), with_error(labels), seed=seed).times(100)
    row = [name, len(labels), show(maj.f1), show(single.f1), show(baseline.f1), show(gain), maj.unknown]
    figures = {"rows": name, "maj": maj, "pass_at_1": single, "calculator": baseline, "gain": gain}
    return row, figures


def real_errors(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """AUROC of the smallest reward on solutions of other models, whose errors are mostly of meaning."""
    everything = read_solutions(str(options.data / "model_solutions.jsonl")).solutions
    known = [solution for solution in everything if solution.final_answer_correct is not None]
    random.Random(TEST_SEED).shuffle(known)
    taken = limited(known[: options.model_rows], options.limit)
    judged = judge(taken, options.out / "model-solutions", options, votes=options.model_votes, mode="code")
    pairs = [(aggregate(s, judged.votes[s.id]).score.min, bool(s.final_answer_correct)) for s in taken]
    scored = [(low, right) for low, right in pairs if low is not None]
    try:
        area = auroc([low for low, _ in scored], [right for _, right in scored], seed=options.seed)
    except InputError as error:
        return table("GSM8K, solutions of other models", ["AUROC"], [[str(error)]]), {}
    row = [len(scored), sum(right for _, right in scored), area.describe(3), len(pairs) - len(scored)]
    columns = ["solutions", "with the right answer", "AUROC", "without a score"]
    note = f"The smallest step reward of {options.model_votes} votes against the final answer; 0.5 is chance."
    return table("GSM8K, solutions of other models", columns, [row], note), {"auroc": area, "solutions": len(scored)}


if __name__ == "__main__":
    main()
