"""The frame of every page: one HTML file, its style and script inside, and a policy that lets nothing else act.

The policy runs the script by its hash, and what that script itself loads (the parts of a large report); nothing that
stands in the page as text can be either.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from genprm.view.bundle import Bundle

_HERE = Path(__file__).parent
SCRIPTS = ("parts.js", "report.js")
"""Files beside this one that are the script of a page, in this order."""
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
    tag: str
    """The filter that lists what it counts."""


class Tag(NamedTuple):
    """A set of items, as a filter names it."""

    key: str
    text: str
    why: str = ""


def page(
    template: str, title: str, config: Mapping[str, Any], facts: Facts, bundle: Bundle, *, what: str,
    filters: Sequence[Tag], tags: Sequence[Tag], sorts: Sequence[tuple[str, str]], **parts: Any,
) -> str:  # fmt: skip
    """The page of a run as text. ``what``: what its items are; ``filters``: its buttons; ``tags``: these and all other
    sets that a figure may link to. Pure but for reading the files beside this one."""
    counted = [(tag, bundle.counts[tag.key]) for tag in filters if bundle.counts[tag.key]]
    data = bundle.data(
        kind=template.partition(".")[0],
        names=[[tag.key, tag.text] for tag in tags if bundle.counts[tag.key]],
        sorts=[name for name, _ in sorts],
    )
    return fill(
        template, title, verb=str(config.get("verb", "verify")),
        facts=[(name, _shown(config[key])) for key, name in facts if config.get(key) not in (None, "")],
        what=what, items=bundle.items, filters=counted, counts=bundle.counts, sorts=sorts, data=data, **parts,
    )  # fmt: skip


def fill(template: str, title: str, *, data: str = "", **parts: Any) -> str:
    """A template with the frame's own parts; ``data``: what ``Bundle.data`` gave."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    script = "\n".join(map(_beside, SCRIPTS))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        title=title,
        css=Markup(_beside("report.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        data=Markup(data),
        version=_version(),
        **parts,
    )


def is_ours(page: Path) -> bool:
    """Whether a file is a page that ``fill`` made."""
    with page.open("rb") as file:
        head = file.read(2048)
    return b'<meta name="generator" content="genprm">' in head or " · genprm</title>".encode() in head


def bin_of(value: float) -> int:
    """The bar of a value in [0, 1]."""
    return min(int(value * BINS), BINS - 1)


def bars(histogram: Sequence[int], tag: str) -> list[Bar]:
    """The bars of counts by ``bin_of``; ``tag``: how the keys of their filters begin."""
    tallest = max(histogram, default=0) or 1
    # The square root keeps a bar of a few steps visible beside the tall ones at 0 and 1.
    return [
        Bar(count, 46 * (count / tallest) ** 0.5, (index + 0.5) / BINS, f"{tag}{index}")
        for index, count in enumerate(histogram)
    ]


def bin_tags(key: str, bins: int, text: str) -> list[Tag]:
    """The sets that the bars of a histogram link to."""
    return [Tag(f"{key}{index}", f"{text} {index / bins:g} to {(index + 1) / bins:g}") for index in range(bins)]


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
