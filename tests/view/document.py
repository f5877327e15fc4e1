"""A report as a test reads it: the texts of its tables, tiles and items."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "input", "img", "br"}


@dataclass
class Item:
    """One <details class="item">."""

    tags: list[str]
    hidden: bool
    text: str = ""
    nodes: list[tuple[str, str]] = field(default_factory=list)
    """Of each step square: its class without ``node``, and the text under it."""
    table: list[list[str]] = field(default_factory=list)


class Document(HTMLParser):
    """What stands in the page."""

    def __init__(self, source: Path | str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tiles: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        self.items: list[Item] = []
        self._rows: list[list[str]] | None = None
        self._stack: list[str] = []
        self._cell = False
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        for number, caption in re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", text):
            self.tiles[caption] = number
        for tag, caption in re.findall(r'data-filter="([^"]*)"[^>]*>(.*?)</button>', text):
            self.buttons[re.sub(r"<.*?>", "", caption)] = tag
        self.bars = [int(count) for count in re.findall(r"<title>(\d+) \w+</title></rect>", text)]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        if tag not in VOID:
            self._stack.append(tag)
        if tag == "details" and "item" in classes:
            self.items.append(Item((given.get("data-tags") or "").split(), "hidden" in given))
        if tag == "span" and "node" in classes and self.items:
            self.items[-1].nodes.append((" ".join(classes[1:]), ""))
        if tag == "table":
            self._rows = self.items[-1].table if "labels" in classes else []
            self.tables[given.get("id") or ""] = self._rows
        if self._rows is not None and tag == "tr":
            self._rows.append([])
        self._cell = tag in ("td", "th") or (self._cell and tag not in ("tr", "table"))
        if self._rows is not None and tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._stack and self._stack.pop() != tag:
            pass
        if tag == "table":
            self._rows = None
        if tag in ("td", "th", "tr", "table"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._rows is not None and self._cell and self._rows and self._rows[-1]:
            self._rows[-1][-1] += data
        if self.items:
            self.items[-1].text += data
            if self._stack[-1:] == ["b"] and self.items[-1].nodes:
                kind, text = self.items[-1].nodes[-1]
                self.items[-1].nodes[-1] = (kind, text + data)

    def rows(self, table: str) -> dict[str, list[str]]:
        """The rows of a table by the first word of their first cell."""
        return {row[0].split()[0]: row[1:] for row in self.tables[table] if row[0].split()}
