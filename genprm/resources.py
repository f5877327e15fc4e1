"""Where the files that ship with genprm lie: prompts, recipes, the sandbox's inside, and models.

In a checkout (and an editable install) prompts, recipes and sandbox are folders beside the package; a wheel carries
them inside the package, under ``genprm/_data``. Models are always inside the package, under ``genprm/models``.
Callers ask for a kind and a name and need not know which of the two they run from::

    path("prompts", "critique.jinja")       # a file
    path("sandbox", "supervisor.py")
    model("genprm-tiny")                    # the shipped folder; any other name is returned unchanged
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from genprm.errors import InputError

Kind = Literal["prompts", "recipes", "sandbox", "models"]

_PACKAGE = Path(__file__).resolve().parent


def root(kind: Kind) -> Path:
    """The folder that holds all shipped files of one kind."""
    if kind == "models":
        return _PACKAGE / "models"
    # The wheel's copy comes first: beside an installed package lie the folders of strangers.
    inside = _PACKAGE / "_data" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def path(kind: Kind, name: str) -> Path:
    """The shipped file or folder ``name`` of one kind. Raises ``InputError`` that lists what there is."""
    folder = root(kind)
    found = folder / name
    if name and found.exists() and found.resolve().is_relative_to(folder.resolve()):
        return found
    there = ", ".join(names(kind)) or "nothing"
    raise InputError(f"genprm ships no {kind} '{name}'; it ships {there}")


def names(kind: Kind) -> tuple[str, ...]:
    """The names of one kind that ship, sorted."""
    folder = root(kind)
    if not folder.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith((".", "__"))))


def model(name: str) -> str:
    """The folder of a shipped model for its name; any other name (a folder, a hub name) is returned unchanged."""
    # The shipped model comes first: a folder of that name in the working directory must not shadow it.
    return str(root("models") / name) if name in names("models") else name
