"""Rollout runs and curations of scripted models, small and quickly made, for the tests of their pages."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from genprm.curate.asking import Opening
from genprm.curate.job import curate
from genprm.curate.options import Curation, ModelUse
from genprm.curate.selection import stages
from genprm.execution import LocalSandbox
from genprm.records.lines import read_lines, write_lines
from genprm.rollout import Amounts, Budget, Given, Plan, Roller, Settings
from tests.curate import readers
from tests.rollout import policies

OPTIONS = Curation(
    annotator=ModelUse(model="annotator"), judge=ModelUse(model="judge", samples=3), consensus="lessons-two",
    per_problem=2,
)  # fmt: skip


def rollout(out: Path, given: Given | None = None) -> Path:
    """A rollout run of a policy that errs, completed by a stronger one."""
    plan = Plan(Budget(initial=8, batch=4, most=24, keep=4), Amounts.fixed(6))
    Roller(
        "solver", engine=policies.engine, completer="strong", completer_engine=policies.other_engine, plan=plan,
        settings=Settings(max_tokens=400),
    ).run(given or policies.problems(6), out)  # fmt: skip
    return out


def curation(rollouts: Path, out: Path, options: Curation = OPTIONS) -> Path:
    """A curation of it."""

    async def main() -> None:
        sandbox = LocalSandbox(max_sessions=4)
        await sandbox.start()
        openings = [
            Opening("annotator", "annotator", readers.annotator, sandbox),
            Opening("judge", "judge", readers.judging),
        ]
        try:
            await curate(rollouts, out, options, stages(options), openings)
        finally:
            await sandbox.aclose()

    asyncio.run(main())
    return out


def with_truth(run: Path, out: Path) -> Path:
    """A copy of a rollout run whose selected solutions have a ``label``, at random: the page takes it as it is."""
    out.mkdir()
    (out / "rollouts.jsonl").write_bytes((run / "rollouts.jsonl").read_bytes())
    solutions = lines(run / "selected.jsonl")
    for one in solutions:
        one["label"] = random.Random(one["id"]).randrange(-1, len(one["steps"]))
    write_lines(out / "selected.jsonl", solutions)
    return out


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file."""
    return [record for _, record in read_lines(path)]


def poison(run: Path, text: str) -> None:
    """Replace every text of the records of a run, keys of counts included, with a hostile one that stays unique."""

    def changed(value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            free = field in ("malformed", "answer_candidates", "exported", "reasons", "counts", "parameters")
            return {f"{text}{name}" if free else name: changed(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [changed(part, field) for part in value]
        return f"{text}{value}" if isinstance(value, str) and field != "outcome" else value

    for path in run.glob("*.jsonl"):
        write_lines(path, [changed(record) for record in lines(path)])
    metrics = run / "metrics.json"
    metrics.write_text(json.dumps(changed(json.loads(metrics.read_text(encoding="utf-8")))), encoding="utf-8")
