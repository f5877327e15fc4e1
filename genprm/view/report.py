"""report.html of a run directory: every step coloured by its reward, every vote with its code and what it printed.

One file without outside resources. All text of models, problems and sandboxes is untrusted: the template escapes it,
and a content policy in the page runs no script but ours, so that even a hole in the escaping would stay inert.
A run that is still going or was interrupted is shown as far as it got.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from genprm.errors import InputError
from genprm.view.pages import BINS, ItemPage, item_page, totals

_HERE = Path(__file__).parent
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


class _Bar(NamedTuple):
    steps: int
    height: float
    """In the units of the drawing, 48 high."""
    reward: float


def report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory and return its path.

    Raises ``InputError`` when the folder holds no run or its records cannot be read.
    """
    from genprm.records.lines import replace_text

    path = run_dir / "report.html"
    replace_text(path, render(run_dir.resolve().name, _config(run_dir), _pages(run_dir)))
    return path


def render(title: str, config: Mapping[str, Any], pages: Sequence[ItemPage]) -> str:
    """The page as text. Pure but for reading the template beside this file."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True)
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    counted = totals(pages)
    return environment.get_template("report.html.jinja").render(
        title=title,
        verb=str(config.get("verb", "verify")),
        facts=[(name, _shown(config[key])) for key, name in _FACTS if config.get(key) is not None],
        totals=counted,
        bars=_bars(counted.histogram),
        filters=_filters(pages),
        pages=pages,
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        version=_version(),
    )


def _pages(run_dir: Path) -> list[ItemPage]:
    from genprm.records.lines import parse_lines, read_bytes
    from genprm.records.results import read_votes
    from genprm.records.solutions import solution_from_dict

    def lines(name: str, *, needed: bool = False) -> list[tuple[int, dict[str, Any]]]:
        path = run_dir / name
        if not path.exists():
            if needed:
                raise InputError(f"{run_dir} is not a run directory: it holds no {name}; give the folder of a run")
            return []
        # A killed run leaves half a line at the end; what follows the last newline was never finished.
        data = read_bytes(path)
        return list(parse_lines(data[: data.rfind(b"\n") + 1], str(path)))

    solutions = [
        solution_from_dict(record, source="solutions.jsonl", line=line)
        for line, record in lines("solutions.jsonl", needed=True)
    ]
    votes = read_votes(run_dir / "votes.jsonl")
    items = {record["id"]: record for _, record in lines("items.jsonl")}
    return [item_page(one, votes.get(one.id, []), items.get(one.id)) for one in solutions]


def _config(run_dir: Path) -> dict[str, Any]:
    from genprm.runs.configuration import Configuration, flatten

    path = run_dir / "config.yaml"
    if not path.exists():
        return {}
    found = Configuration.read(path)
    return {"verb": found.verb, **dict(flatten(found.identity)), **dict(flatten(found.extent))}


def _bars(histogram: Sequence[int]) -> list[_Bar]:
    tallest = max(histogram, default=0) or 1
    # The square root keeps a bar of a few steps visible beside the tall ones at 0 and 1.
    return [_Bar(count, 46 * (count / tallest) ** 0.5, (index + 0.5) / BINS) for index, count in enumerate(histogram)]


def _filters(pages: Sequence[ItemPage]) -> list[tuple[str, str, int]]:
    named = (("error", "With an error"), ("clean", "Clean"), ("disagree", "Against the label"), ("failed", "Failures"))
    counted = [(tag, text, sum(tag in page.tags.split() for page in pages)) for tag, text in named]
    return [("", "All", len(pages)), *(entry for entry in counted if entry[2])]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    # A model given as a folder: its last name says enough, and a report is for sharing.
    return Path(text).name if text.startswith("/") else text


def _version() -> str:
    try:
        return version("genprm")
    except PackageNotFoundError:
        return ""
