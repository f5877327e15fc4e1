"""The configuration of a run directory: ``config.yaml``.

Two parts. *Identity* decides what a unit of work gives; a directory holds one identity and refuses another, naming
the keys that differ. *Extent* decides how much is done and how; it may change between runs of the same directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from genprm.errors import IdentityError, InputError


@dataclass(frozen=True, slots=True)
class Configuration:
    """A resolved configuration; plain values only (text, numbers, booleans, null, lists, mappings of these)."""

    verb: str
    identity: Mapping[str, Any]
    extent: Mapping[str, Any] = field(default_factory=dict)
    input: str = ""
    """Where the records came from, as the user named it."""

    def dump(self) -> str:
        """The text of config.yaml."""
        parts = {"verb": self.verb, "input": self.input, "identity": dict(self.identity), "extent": dict(self.extent)}
        return yaml.safe_dump(parts, sort_keys=False, allow_unicode=True)

    @classmethod
    def read(cls, path: Path) -> Configuration:
        """The configuration of a file. Raises ``InputError`` if it is not one of ours."""
        try:
            parts = yaml.safe_load(path.read_text(encoding="utf-8"))
            identity, extent = dict(**parts["identity"]), dict(**parts["extent"])
            return cls(str(parts["verb"]), identity, extent, str(parts["input"]))
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not the configuration of a run; choose another --out folder") from error

    def differences(self, other: Configuration) -> tuple[str, ...]:
        """Dotted keys of the identity that differ, sorted."""
        mine, theirs = (dict(flatten({"verb": c.verb, **c.identity})) for c in (self, other))
        return tuple(sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)))

    def require_verb(self, verb: str, folder: Path) -> None:
        """Raises ``IdentityError`` where the run in the folder is of another verb."""
        if self.verb != verb:
            raise IdentityError(f"{folder} holds a run of genprm {self.verb}; choose another --out folder")

    def require_same(self, stored: Configuration, folder: Path) -> None:
        """Raises ``IdentityError`` naming each key that differs, with both values."""
        stored.require_verb(self.verb, folder)
        keys = self.differences(stored)
        if not keys:
            return
        mine, theirs = (dict(flatten({"verb": c.verb, **c.identity})) for c in (self, stored))
        shown = ", ".join(f"{key} (there {_short(theirs.get(key))}, here {_short(mine.get(key))})" for key in keys)
        raise IdentityError(
            f"{folder} holds a run with another {shown}; choose another --out folder or the same settings"
        )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value) of every leaf."""
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves += flatten(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", list(value) if isinstance(value, tuple) else value))
    return leaves


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
