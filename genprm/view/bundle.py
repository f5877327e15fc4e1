"""The items of a page as data: a row each for the list, and what is read of one item, loaded when it is opened.

Details of a small run are written into the page. Above ``INLINE`` characters they lie beside it as scripts in
``report/<digest>/``, which a page may load from a disk, where it may not read files. Memory holds the rows, and the
details of one part. The folder is there, whole, before the page that names it, and is named by its content; an older
one is removed after the page. So whoever opens the page finds its parts.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from genprm.errors import InputError

INLINE = 8_000_000
"""Characters of details that a page holds itself."""
PART = 1_000_000
"""Characters of a part beside the page; an item is never cut."""
GIST = 140
"""Characters of a problem in the list."""
FOLDER = "report"
_FORM = b"parts as text"
"""How parts are written goes into their folder's name: a page finds none that an earlier version wrote otherwise."""
_OURS = re.compile(r"[0-9a-f]{12}")
"""Names of folders that are not ours stay."""

Square = float | str | None
"""A reward or share in [0, 1], the name of a class, or nothing known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of the page."""

    id: str
    text: str
    """The problem."""
    tags: Sequence[str]
    """The filters that show it, each once."""
    chip: tuple[str, str]
    """The verdict, and its colour: yes, no or none."""
    mark: str
    """How it stands to the truth: same, other, or nothing known."""
    strip: Sequence[Square]
    numbers: Sequence[float | None]
    """What the list can be sorted by, in the order of the page's sorts."""
    steps: int
    """How many steps can be annotated; 0 where an item is not one solution."""
    detail: Mapping[str, Any]
    """What the page's script draws; keys are ours, never from a record."""


class Bundle:
    """Takes entries one after another. ``close`` it, whatever happens; ``data`` is complete after ``finish``."""

    def __init__(self, run_dir: Path) -> None:
        self.counts: Counter[str] = Counter()
        """Items by tag."""
        self.items = 0
        self._tags: dict[str, int] = {}
        self._rows: list[str] = []
        self._part: list[str] = []
        self._sizes: list[int] = []
        """Items of each finished part."""
        self._kept: list[str] = []
        """Parts that are not written, while all may still go into the page."""
        self._inline = True
        self._written = self._filled = 0
        self._digest = hashlib.blake2b(_FORM, digest_size=6)
        self._folder = run_dir / FOLDER
        self._new = self._folder / ".new"

    def extend(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        self.items += 1
        self.counts.update(entry.tags)
        tags = [self._tags.setdefault(tag, len(self._tags)) for tag in entry.tags]
        row = [entry.id, entry.text[:GIST], tags, *entry.chip, entry.mark, [_short(one) for one in entry.strip]]
        self._rows.append(encode([*row, [_short(one) for one in entry.numbers], entry.steps]))
        self._part.append(encode(entry.detail))
        self._filled += len(self._part[-1])
        if self._filled >= PART:
            self._cut()

    def finish(self) -> None:
        """Everything is there: the last part is cut, and the folder gets its name."""
        if self._part:
            self._cut()
        if not self._inline:
            with _told(self._folder):
                if self.folder.exists():
                    shutil.rmtree(self._new)
                else:
                    self._new.replace(self.folder)

    def sweep(self) -> None:
        """Remove the parts of earlier pages, once the page stands."""
        kept = None if self._inline else self.folder.name
        for path in self._folder.glob("*"):
            if path.name != kept and _OURS.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Remove what was not finished."""
        shutil.rmtree(self._new, ignore_errors=True)
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    @property
    def folder(self) -> Path:
        return self._folder / self._digest.hexdigest()

    def data(self, **more: Any) -> str:
        """The data of the page as JSON that may stand in a script element."""
        starts = [0, *accumulate(self._sizes)][: len(self._sizes)]
        fields = {
            **{name: encode(value) for name, value in more.items()},
            "tags": encode(list(self._tags)),
            "starts": encode(starts),
            "folder": encode(f"{FOLDER}/{self.folder.name}"),
            "parts": f"[{','.join(f'[{part}]' for part in self._kept)}]" if self._inline else "null",
            "rows": f"[{','.join(self._rows)}]",
        }
        return "{" + ",".join(f"{encode(name)}:{text}" for name, text in fields.items()) + "}"

    def _cut(self) -> None:
        part = ",".join(self._part)
        self._digest.update(part.encode() + b"\n")
        self._kept.append(part)
        self._sizes.append(len(self._part))
        self._written += len(part)
        self._part, self._filled = [], 0
        if self._written > INLINE:
            self._spill()

    def _spill(self) -> None:
        """Write the parts that are held."""
        with _told(self._folder):
            if self._inline:
                shutil.rmtree(self._new, ignore_errors=True)
                self._new.mkdir(parents=True)
            for number, part in enumerate(self._kept, start=len(self._sizes) - len(self._kept)):
                # As text in a text: a browser takes it in much faster than as a value, and a search may not need one.
                text = f"genprmPart({number}, {json.dumps(f'[{part}]')});\n"
                (self._new / f"{number}.js").write_text(text, encoding="ascii")
        self._inline, self._kept = False, []


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What a disk refuses, as an ``InputError``."""
    try:
        yield
    except OSError as error:
        message = f"cannot write {folder}: {error.strerror}; free space or choose another folder"
        raise InputError(message) from error


def encode(value: object) -> str:
    """JSON that may stand in a script element or a script: ASCII, and no ``<`` that could end either."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _short(value: Square) -> Square:
    return round(value, 3) if isinstance(value, float) else value
