"""The frame of every report: one HTML file, its style and script inside, and a policy that lets nothing else act."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
BINS = 20
"""Bars of a histogram."""
Facts = Sequence[tuple[str, str]]
"""Keys of the configuration, and what the page calls them."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram over [0, 1]."""

    count: int
    height: float
    """In the units of the drawing, 48 high."""
    middle: float


@dataclass(frozen=True, slots=True)
class Filter:
    """A button that shows the items of one tag; the empty tag shows all."""

    tag: str
    text: str
    count: int


def page(
    template: str,
    title: str,
    config: Mapping[str, Any],
    facts: Facts,
    *,
    what: str,
    filters: Sequence[Filter],
    **parts: Any,
) -> str:
    """The page as text. ``what``: what its items are. Pure but for reading the files beside this one."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    script = _beside("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        title=title,
        verb=str(config.get("verb", "verify")),
        facts=[(name, _shown(config[key])) for key, name in facts if config.get(key) not in (None, "")],
        what=what,
        filters=filters,
        css=Markup(_beside("report.css") + _beside("data.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        version=_version(),
        **parts,
    )


def bin_of(value: float) -> int:
    """The bar of a value in [0, 1]."""
    return min(int(value * BINS), BINS - 1)


def bars(histogram: Sequence[int]) -> list[Bar]:
    """The bars of counts by ``bin_of``."""
    tallest = max(histogram, default=0) or 1
    # The square root keeps a bar of a few steps visible beside the tall ones at 0 and 1.
    return [Bar(count, 46 * (count / tallest) ** 0.5, (index + 0.5) / BINS) for index, count in enumerate(histogram)]


def filters(tags: Sequence[str], named: Sequence[tuple[str, str]]) -> list[Filter]:
    """``All`` and the named filters that any item has; ``tags``: the tags of each item, between blanks."""
    apart = [one.split() for one in tags]
    counted = [Filter(tag, text, sum(tag in one for one in apart)) for tag, text in named]
    return [Filter("", "All", len(apart)), *(one for one in counted if one.count)]


def _beside(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


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
