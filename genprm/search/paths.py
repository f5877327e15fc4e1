"""Solutions as they are written: which draws led here, what they say, and how they ended. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from genprm.rollout.styles import SEPARATOR

End = Literal["eos", "length", "context", "empty"]
"""``eos``: finished. The rest is cut short: at the most tokens of a solution, at the model's context, or by a draw
without any text."""
Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """A prefix, or a whole solution once it has an ``end``."""

    name: tuple[int, ...] = ()
    """The number of each draw: of the tree or chain, then of every step. With the problem it decides all seeds."""
    steps: Steps = ()
    separator: str = SEPARATOR
    """What stands between the steps, as the first of them ended."""
    tokens: int = 0
    """The policy's, for these steps alone."""
    end: End | None = None

    @property
    def finished(self) -> bool:
        return self.end == "eos"

    @property
    def goes_on(self) -> bool:
        return self.end is None

    @property
    def is_cut(self) -> bool:
        """It neither goes on nor concludes anything."""
        return self.end not in (None, "eos")


def distinct(paths: Iterable[Path]) -> list[Path]:
    """Of paths that say the same and end alike the first."""
    found: dict[tuple[Steps, End | None], Path] = {}
    for path in paths:
        found.setdefault((path.steps, path.end), path)
    return list(found.values())


def comparable(score: float | None) -> float:
    """A score to six digits, and -1 for none. The rest of the digits depends on what shared a batch: it is no order."""
    return -1.0 if score is None else float(f"{score:.5e}")


def ranked(paths: Sequence[Path], score: Callable[[Path], float | None]) -> list[Path]:
    """The highest score first; ties keep their order, and what has no score comes last."""
    return sorted(paths, key=lambda path: comparable(score(path)), reverse=True)
