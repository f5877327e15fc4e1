"""report.html of a run directory: of a verification, rollouts, a curation, a critique or a policy's training, as its
config.yaml says.

No outside resources: the page is one file, and above some megabytes its parts lie beside it (see ``bundle``). All text
of models, problems and sandboxes is untrusted: templates escape it, the page's script sets it as text, and a content
policy in the page runs no script but ours, so that even a hole in the escaping would stay inert.
A run that is still going or was interrupted is shown as far as it got.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprm.view import curation, reading, refinement, rollouts, training, verification
from genprm.view.bundle import Bundle
from genprm.view.figures import Score

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written."""

    path: Path
    verb: str
    title: str
    config: Mapping[str, Any]
    items: int
    counts: Mapping[str, int]
    """Items by filter."""
    score: Score | None
    """Of a verification with labels."""


def report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory and return its path.

    Raises ``InputError`` when the folder holds no run or its records cannot be read; nothing is written then.
    """
    return write(run_dir).path


def write(run_dir: Path) -> Written:
    """The same, and what an index says of the run."""
    from genprm.records.lines import replace_text

    config = reading.config(run_dir)
    title, score = run_dir.resolve().name, None
    bundle = Bundle(run_dir)
    try:
        match config.get("verb"):
            case "rollout":
                text = rollouts.render(run_dir, title, config, bundle)
            case "curate":
                text = curation.render(run_dir, title, config, bundle)
            case "critique":
                text = refinement.render(run_dir, title, config, bundle)
            case "train":
                text = training.render(run_dir, title, config, bundle)
            case _:
                text, totals = verification.render(run_dir, title, config, bundle)
                score = totals.measured.score if totals.labelled else None
        replace_text(run_dir / REPORT, text)
        bundle.sweep()
    finally:
        bundle.close()
    verb = str(config.get("verb", "verify"))
    return Written(run_dir / REPORT, verb, title, config, bundle.items, dict(bundle.counts), score)
