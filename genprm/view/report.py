"""report.html of a run directory: of a verification, of rollouts or of a curation, told apart by their config.yaml.

One file without outside resources. All text of models, problems and sandboxes is untrusted: the template escapes it,
and a content policy in the page runs no script but ours, so that even a hole in the escaping would stay inert.
A run that is still going or was interrupted is shown as far as it got.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genprm.view import curation, reading, rollouts
from genprm.view.frame import bars, filters, page
from genprm.view.pages import ItemPage, item_page, totals

_FACTS = (
    ("engine.model", "model"),
    ("engine.revision", "revision"),
    ("engine.engine", "engine"),
    ("mode", "mode"),
    ("votes", "votes"),
    ("vote_rule", "vote rule"),
    ("read_out", "read-out"),
    ("prompt_style", "prompt style"),
    ("history", "history"),
    ("sandbox.kind", "sandbox"),
    ("sampling.temperature", "temperature"),
    ("seed", "seed"),
)
_FILTERS = (("error", "With an error"), ("clean", "Clean"), ("disagree", "Against the label"), ("failed", "Failures"))


def report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory and return its path.

    Raises ``InputError`` when the folder holds no run or its records cannot be read.
    """
    from genprm.records.lines import replace_text

    config = reading.config(run_dir)
    title = run_dir.resolve().name
    match config.get("verb"):
        case "rollout":
            text = rollouts.render(title, config, rollouts.read(run_dir))
        case "curate":
            text = curation.render(title, config, curation.read(run_dir))
        case _:
            text = render(title, config, _pages(run_dir))
    path = run_dir / "report.html"
    replace_text(path, text)
    return path


def render(title: str, config: Mapping[str, Any], pages: Sequence[ItemPage]) -> str:
    """The page of a verification as text."""
    counted = totals(pages)
    shown = filters([one.tags for one in pages], _FILTERS)
    return page(
        "report.html.jinja", title, config, _FACTS, what="solution", filters=shown,
        totals=counted, bars=bars(counted.histogram), pages=pages,
    )  # fmt: skip


def _pages(run_dir: Path) -> list[ItemPage]:
    from genprm.records.results import read_votes
    from genprm.records.solutions import solution_from_dict

    name = reading.needed(run_dir, "solutions.jsonl")
    solutions = [solution_from_dict(record, source=name, line=line) for line, record in reading.records(run_dir, name)]
    votes = read_votes(run_dir / "votes.jsonl")
    items = {record["id"]: record for _, record in reading.records(run_dir, "items.jsonl", id=str)}
    return [item_page(one, votes.get(one.id, []), items.get(one.id)) for one in solutions]
