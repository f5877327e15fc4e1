"""A page as a test reads it: the texts of its tables and tiles, and its items with their details."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"meta", "input", "img", "br"}


@dataclass
class Item:
    """One item of the list."""

    id: str
    tags: list[str]
    chip: str
    mark: str
    strip: list[Any]
    steps: int
    detail: dict[str, Any]


class Document(HTMLParser):
    """What stands in the page, and in the parts beside it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tiles: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        self.links: list[str] = []
        self._rows: list[list[str]] | None = None
        self._cell = False
        text = page.read_text(encoding="utf-8")
        for number, caption in re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", text):
            self.tiles[plain(caption)] = plain(number)
        for tag, caption in re.findall(r'data-filter="([^"]*)"[^>]*>(.*?)</button>', text):
            self.buttons[plain(caption)] = tag
        self.bars = [int(count) for count in re.findall(r"<title>(\d+) \w+</title></rect>", text)]
        self.feed(text)
        self.items = items(page, text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "table":
            self._rows = []
            self.tables[given.get("id") or ""] = self._rows
        if self._rows is not None and tag == "tr":
            self._rows.append([])
        self._cell = tag in ("td", "th") or (self._cell and tag not in ("tr", "table"))
        if self._rows is not None and tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._rows = None
        if tag in ("td", "th", "tr", "table"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._rows is not None and self._cell and self._rows and self._rows[-1]:
            self._rows[-1][-1] += data

    def rows(self, table: str) -> dict[str, list[str]]:
        """The rows of a table by the first word of their first cell."""
        return {row[0].split()[0]: row[1:] for row in self.tables[table] if row[0].split()}


def items(page: Path, text: str) -> list[Item]:
    """The items of a page, in order."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    if found is None:
        return []
    data = json.loads(found[1])
    details = [one for part in data["parts"] or parts(page, data) for one in part]
    return [
        Item(row[0], [data["tags"][tag] for tag in row[2]], row[3], row[5], row[6], row[8], detail)
        for row, detail in zip(data["rows"], details, strict=True)
    ]


def parts(page: Path, data: dict[str, Any]) -> list[list[Any]]:
    """The parts beside a page."""
    texts = [
        (page.parent / data["folder"] / f"{number}.js").read_text("ascii") for number in range(len(data["starts"]))
    ]
    return [
        json.loads(json.loads(text.removeprefix(f"genprmPart({number}, ").removesuffix(");\n")))
        for number, text in enumerate(texts)
    ]


def plain(html: str) -> str:
    """A piece of HTML without its tags."""
    return unescape(re.sub(r"<.*?>", "", html))
