"""A curation as a program that tests can kill: ``python -m tests.curate.program ROLLOUTS OUT``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from genprm.curate.asking import Opening
from genprm.curate.job import Curated, curate
from genprm.curate.options import Curation, ModelUse
from genprm.curate.selection import stages
from genprm.execution import LocalSandbox
from tests.curate import readers

ALL = Curation(
    annotator=ModelUse(model="annotator"), judge=ModelUse(model="judge", samples=3),
    formats=("conversations", "step-tags", "extra-tokens"), per_problem=3,
)  # fmt: skip


async def main(source: Path, out: Path) -> Curated:
    sandbox = LocalSandbox(max_sessions=4)
    await sandbox.start()
    openings = [
        Opening("annotator", "annotator", readers.annotator, sandbox, concurrency=2),
        Opening("judge", "judge", readers.judging, concurrency=2),
    ]
    try:
        return await curate(source, out, ALL, stages(ALL), openings)
    finally:
        await sandbox.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
