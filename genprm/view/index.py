"""index.html of several runs: a table for each kind of run, whose figures lead into the reports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from genprm.errors import InputError
from genprm.view import reading
from genprm.view.frame import fill, is_ours
from genprm.view.report import REPORT, Written, write
from genprm.view.training import KINDS

_RUNS = ("solutions.jsonl", "problems.jsonl")
_COLUMNS = {
    "verify": (
        ("finished", "finished"), ("wrong", "wrong"), ("split", "votes disagree"), ("error", "error found"),
        ("failed", "failed"), ("code-failed", "code failed"), ("conflict", "code conflict"), ("unsettled", "unsettled"),
    ),
    "rollout": (
        ("finished", "finished"), ("hard", "hard"), ("medium", "medium"), ("easy", "easy"), ("never", "never right"),
        ("invalid", "invalid samples"),
    ),
    "curate": (
        ("derived", "derived"), ("kept", "kept"), ("dropped", "dropped"), ("code-conflict", "code conflict"),
        ("differ", "sources differ"),
    ),
    "critique": (
        ("right-0", "right as given"), ("right", "right at the end"), ("mended", "became right"),
        ("spoiled", "became wrong"), ("alarm", "false alarms"), ("unfinished", "unfinished"),
    ),
    "train": (
        ("right-0", "right before"), ("right", "right at the end"), ("mended", "became right"),
        ("spoiled", "became wrong"), ("invalid", "invalid"),
    ),
}  # fmt: skip
"""Filters that are counted, by verb."""
_MODELS = ("engine.model", "policy.engine.model", "annotator.model", "model.base")


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and where it leads; nothing where it counts no items."""

    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The runs of one verb."""

    verb: str
    columns: Sequence[str]
    rows: Sequence[tuple[Cell, ...]]


def runs_in(folder: Path) -> list[Path]:
    """The run directories under a folder, itself if it is one, in the order of their names; those of a run's own parts
    are left out."""
    if _is_run(folder):
        return [folder]
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [run for path in inside for run in runs_in(path)]


def index(folders: Iterable[Path], out: Path | None = None) -> Path:
    """Write the report of every run in the folders, and an index of them; return the path of the index.

    It is ``out``, or index.html in the folder that they share. Raises ``InputError``.
    """
    from genprm.records.lines import replace_text

    given = list(folders)
    for folder in given:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give run directories, or a folder that holds some")
    runs = list(dict.fromkeys(run.resolve() for folder in given for run in runs_in(folder)))
    if not runs:
        raise InputError(f"{', '.join(map(str, given))}: there is no run directory in it; give the folder of a run")
    shared = Path(os.path.commonpath([folder.resolve() for folder in given])) if len(given) > 1 else given[0].resolve()
    path = out.resolve() if out else shared / "index.html"
    if path.parent == Path(path.anchor):
        raise InputError(f"the runs share no folder but {path.parent}; say with --out where the index is to be")
    _require_ours(path)
    if path in [run / REPORT for run in runs]:
        raise InputError(f"{path} is the report of a run; say with --out where the index is to be")
    replace_text(path, render(path, [write(run) for run in runs]))
    return path


def _require_ours(path: Path) -> None:
    """Raises ``InputError`` where the index would replace something else."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the index is a page, and {path} would be none; give a name that ends with .html")
    if os.path.isfile(path) and not is_ours(path):  # noqa: PTH113 - a name that is too long is no file, and no error
        raise InputError(f"{path} exists and is no page of genprm; say with --out where the index is to be")


def render(path: Path, written: Sequence[Written]) -> str:
    """The index as text, its links relative to where it will be."""
    verbs = list(dict.fromkeys(one.verb for one in written))
    tables = [_table(path, verb, [one for one in written if one.verb == verb]) for verb in verbs]
    items = sum(one.items for one in written)
    return fill("index.html.jinja", path.parent.name, verb="index", tables=tables, runs=len(written), items=items)


def _table(path: Path, verb: str, runs: Sequence[Written]) -> Table:
    columns = _COLUMNS.get(verb, _COLUMNS["verify"])
    scored = any(one.score for one in runs)
    names = ("run", "model", "items", *(name for _, name in columns), *(("F1",) if scored else ()))
    return Table(verb, names, [_row(path, one, [key for key, _ in columns], scored) for one in runs])


def _row(path: Path, one: Written, keys: Sequence[str], scored: bool) -> tuple[Cell, ...]:
    page = quote(Path(os.path.relpath(one.path, path.parent)).as_posix())
    name = Path(os.path.relpath(one.path.parent, path.parent)).as_posix()
    model = next((str(one.config[key]) for key in _MODELS if one.config.get(key)), "–")
    cells = [Cell(name if name != "." else one.title, page), Cell(Path(model).name if model.startswith("/") else model)]
    cells.append(Cell(f"{one.items:,}", f"{page}#f="))
    cells += [Cell(f"{one.counts[key]:,}", f"{page}#f={key}") if one.counts.get(key) else Cell("0") for key in keys]
    if scored:
        known = one.score is not None and one.score.f1 is not None
        cells.append(Cell(f"{one.score.f1:.1f}", f"{page}#f=labelled") if known and one.score else Cell("–"))
    return tuple(cells)


def _is_run(folder: Path) -> bool:
    """Whether a report can be made of it: of a verifier's training there is none."""
    if not any((folder / name).exists() for name in _RUNS):
        return False
    config = reading.config(folder)
    if not config and not (folder / "solutions.jsonl").exists():
        return False  # problems that belong to no run
    verb = config.get("verb", "verify")
    return config.get("kind") in KINDS if verb == "train" else verb in _COLUMNS
