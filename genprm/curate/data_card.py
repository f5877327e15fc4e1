"""The data card: what a data set holds, how many candidates each stage left, and how to make it again.

The numbers lie beside the card in ``dataset.json``. Tokens and seconds of the stages are measured where they run and
come in as values; what was not measured is left blank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genprm.curate.evidence import Candidate
from genprm.curate.filters import Funnel

FACTS = "dataset.json"


@dataclass(frozen=True, slots=True)
class Source:
    """Something the data set is made from: problems, or the texts of a model."""

    name: str
    licence: str


@dataclass(frozen=True, slots=True)
class StageCost:
    """One stage of the making: the command, and what it took."""

    name: str
    command: str
    tokens: int | None = None
    """Tokens generated."""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """What the card says beside what is counted while the rows are written."""

    title: str
    licence: str
    """As the hub names it, such as ``mit``."""
    funnel: Funnel
    summary: str = ""
    sources: tuple[Source, ...] = ()
    stages: tuple[StageCost, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Counts over the rows, added up while they are written."""

    rows: int = 0
    steps: int = 0
    with_error: int = 0
    error_unknown: int = 0
    tokens: int = 0
    """Over the rows whose length is known."""
    problems: set[str] = field(default_factory=set)

    def add(self, candidate: Candidate) -> None:
        self.rows += 1
        self.steps += len(candidate.solution.steps)
        self.with_error += candidate.error not in (None, -1)
        self.error_unknown += candidate.error is None
        self.tokens += sum(candidate.tokens)
        self.problems.add(candidate.problem_key)

    def figures(self) -> dict[str, int]:
        return {
            "rows": self.rows,
            "problems": len(self.problems),
            "steps of their solutions": self.steps,
            "rows with an error": self.with_error,
            "rows whose first error is not known": self.error_unknown,
            "tokens": self.tokens,
        }


def write_card(folder: Path, card: Card, format: str, totals: Totals, seconds: float) -> None:
    """Write ``README.md`` and ``dataset.json``; ``seconds`` is what the export took."""
    facts = {"format": format, **asdict(card), "totals": totals.figures(), "export_seconds": round(seconds, 1)}
    (folder / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card_text(card, format, totals, seconds), encoding="utf-8")


def card_text(card: Card, format: str, totals: Totals, seconds: float) -> str:
    """The text of the card."""
    counts = table(("count", "of"), [(f"{number:,}", name) for name, number in totals.figures().items()])
    seeds = table(("seed", "of"), [(seed, name) for name, seed in sorted(card.seeds.items())])
    sources = table(("source", "licence"), [(source.name, source.licence) for source in card.sources])
    parts = [
        _head(card, totals.rows),
        f"# {card.title}\n\n{card.summary}\n" if card.summary else f"# {card.title}\n",
        f"## What it holds\n\nFormat: `{format}`. Steps are counted from 0 in `index.jsonl`, which names the solution "
        f"of every row.\n\n{counts}",
        f"## What each stage left\n\n{funnel_table(card.funnel)}",
        f"## How it was made\n\n{_stages(card, seconds)}\n{seeds}",
        f"## Sources and licences\n\nThis data set: {card.licence}.\n\n{sources}",
    ]
    return "\n".join(parts)


def funnel_table(funnel: Funnel) -> str:
    """The funnel as a table: every stage with its settings, yield and reasons."""
    rows = []
    for row in funnel.rows:
        settings = ", ".join(f"{name} {value}" for name, value in row.settings.items())
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in row.reasons.items())
        counts = ", ".join(f"{name} {count:,}" for name, count in row.counts.items())
        share = f"{row.kept / row.entered:.1%}" if row.entered else ""
        rows.append((row.stage, settings, f"{row.entered:,}", f"{row.kept:,}", share, reasons, counts))
    return table(("stage", "settings", "in", "kept", "share", "dropped for", "also counted"), rows)


def table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table, or nothing if it has no rows; a bar within a cell is escaped, a line break becomes a space."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]) + "\n"


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")


def _head(card: Card, rows: int) -> str:
    size = next((name for limit, name in _SIZES if rows < limit), "n>1M")
    return (
        f"---\nlicense: {card.licence}\nlanguage: en\nsize_categories: {size}\ntags: [process-reward-model]\n"
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
    )


_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def _stages(card: Card, seconds: float) -> str:
    rows = [
        (
            stage.name,
            f"`{stage.command}`",
            None if stage.tokens is None else f"{stage.tokens:,}",
            None if stage.seconds is None else f"{stage.seconds:,.0f}",
        )
        for stage in card.stages
    ]
    return table(("stage", "command", "tokens", "seconds"), [*rows, ("export", None, None, f"{seconds:,.0f}")])
