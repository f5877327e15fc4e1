"""The micro-world test: F1 of the verifier where the truth of every step is known.

``python tests/benchmarks/microworld.py [--model DIR] [--problems 1002] [--held-out 300] [--votes 8] [--modes 2]``

Test problems share no text with training; every error kind and clean solutions in equal number. Families seen in
training and the two held out are reported apart. All modes are then compared on the first ``--mode-problems``
problems with ``--modes`` votes each (``code`` uses the votes that it has). Run again, it continues.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm.evaluate import Interval, recall
from genprm.lab import world
from genprm.lab.world import KINDS
from tests.benchmarks.measure import Judged, arguments, finish, judge, keep_records, limited, show, table

TEST_SEED = 20260
MODES: dict[str, dict[str, Any]] = {
    "direct": {"mode": "direct"},
    "analyze": {"mode": "analyze"},
    "code-only": {"mode": "code-only"},
    "no-execute": {"mode": "code", "execute": False},
}


def main() -> None:
    parser = arguments(__doc__, "runs/microworld")
    parser.add_argument("--problems", type=int, default=1002, help="of families seen in training")
    parser.add_argument("--held-out", type=int, default=300, help="of the held-out families")
    parser.add_argument("--modes", type=int, default=2, help="votes for the comparison of modes; 0 leaves it out")
    parser.add_argument("--mode-problems", type=int, default=300)
    options = parser.parse_args()
    seen_set = limited(world.test_set(options.problems, TEST_SEED), options.limit)
    far_set = limited(world.test_set(options.held_out, TEST_SEED, held_out=True), options.limit)
    keep_records(options.out, "seen", seen_set)
    seen = judge(seen_set, options.out / "code", options, mode="code")
    tables, figures = [], {"seen": summary(seen, options)}
    parts = [("seen in training", seen)]
    if far_set:
        keep_records(options.out, "held-out", far_set)
        far = judge(far_set, options.out / "code-held-out", options, mode="code")
        figures["held_out"] = summary(far, options)
        parts.append(("held out", far))
    tables.append(main_table(parts, options))
    tables.append(recall_table(parts, options))
    if options.modes:
        compared = compare(seen, options)
        figures["modes"] = {name: summary(part, options) for name, part in compared.items()}
        tables.append(mode_table(compared, options))
    finish(options.out, tables, figures)


def summary(part: Judged, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one part."""
    maj, single = part.maj_f1(options.seed), part.pass_at_1(options.seed)
    return {"solutions": len(part.solutions), "maj": maj, "pass_at_1": single, "gain": part.gain(options.seed)}


def kinds(part: Judged, options: argparse.Namespace) -> dict[str, Interval]:
    """Per cent answered rightly by all votes together, for each kind."""
    names = [str(solution.extra["kind"]) for solution in part.solutions]
    return recall(part.maj(), part.labels, names, seed=options.seed)


def main_table(parts: list[tuple[str, Judged]], options: argparse.Namespace) -> dict[str, Any]:
    columns = ["families", "problems", "Pass@1 F1", f"Maj@{options.votes} F1", "paired gain", "clean accepted"]
    columns += ["first error found", "no verdict"]
    rows = []
    for name, part in parts:
        maj, single = part.maj_f1(options.seed), part.pass_at_1(options.seed)
        row = [name, len(part.solutions), show(single.f1), show(maj.f1), show(part.gain(options.seed))]
        rows.append([*row, show(maj.correct_accuracy), show(maj.error_accuracy), maj.unknown])
    note = (
        f"Mode code, temperature 0.6, top-p 0.95, top-k 20, test seed {TEST_SEED}; per cent with 95 % intervals. "
        f"Pass@1 is the mean over the {options.votes} single votes."
    )
    return table("Micro-world, ProcessBench F1", columns, rows, note)


def recall_table(parts: list[tuple[str, Judged]], options: argparse.Namespace) -> dict[str, Any]:
    found = [(name, kinds(part, options)) for name, part in parts]
    rows = [[kind, *(show(shares.get(kind)) for _, shares in found)] for kind in KINDS]
    note = f"Per cent whose first error (or absence of one) is named exactly, Maj@{options.votes}."
    return table("Micro-world, by kind of error", ["kind", *(name for name, _ in found)], rows, note)


def compare(seen: Judged, options: argparse.Namespace) -> dict[str, Judged]:
    """All modes on the same problems with the same number of votes."""
    part = seen.solutions[: options.mode_problems]
    votes = min(options.modes, options.votes)
    compared = {
        name: judge(part, options.out / name, options, votes=votes, **settings) for name, settings in MODES.items()
    }
    compared["code"] = Judged(part, seen.votes).first(votes)
    order = ("direct", "analyze", "code-only", "code", "no-execute")
    return {name: compared[name] for name in order}


def mode_table(compared: dict[str, Judged], options: argparse.Namespace) -> dict[str, Any]:
    rows = []
    for name, part in compared.items():
        maj, single = part.maj_f1(options.seed), part.pass_at_1(options.seed)
        rows.append([name, show(single.f1), show(maj.f1), show(maj.correct_accuracy), show(maj.error_accuracy)])
    votes = min(options.modes, options.votes)
    columns = ["mode", "Pass@1 F1", f"Maj@{votes} F1", "clean accepted", "first error found"]
    note = f"The first {len(compared['code'].solutions)} problems of the families seen in training, {votes} votes each."
    return table("Micro-world, modes side by side", columns, rows, note)


if __name__ == "__main__":
    main()
