"""Which point a sweep takes: the one with the highest validation accuracy, in the mean over seeds. Pure.

Never by a loss: the targets of a training differ between points, and so does what its loss means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genprm.errors import InputError
from genprm.evaluate.statistics import Spread, spread
from genprm.sweep.grid import Values, named


@dataclass(frozen=True, slots=True)
class Run:
    """One point with one seed."""

    seed: int | None
    """``None``: the recipe's own."""
    folder: str
    validation: Mapping[str, float] | None
    """Per cent, by stage; ``None`` where its training failed."""

    @property
    def figure(self) -> float | None:
        """What decides: the mean over the validation stages."""
        return None if self.validation is None else sum(self.validation.values()) / len(self.validation)


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of values, over its seeds."""

    values: Values
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        return named(self.values)

    @property
    def figures(self) -> tuple[float, ...]:
        return tuple(run.figure for run in self.runs if run.figure is not None)

    @property
    def complete(self) -> bool:
        return len(self.figures) == len(self.runs)

    @property
    def mean(self) -> float:
        return sum(self.figures) / len(self.figures)

    def as_dict(self) -> dict[str, Any]:
        return {
            "point": self.name,
            "values": dict(self.values),
            "validation": summary(self.figures),
            "runs": [{**asdict(run), "figure": run.figure} for run in self.runs],
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """The points of a sweep, and the one that is taken."""

    points: tuple[Point, ...]
    chosen: Point


def choose(points: Sequence[Point]) -> Choice:
    """The point with the highest mean, of equal ones the first. Only complete points can be chosen: a mean over fewer
    seeds is another figure. Raises ``InputError`` if none is complete."""
    complete = [point for point in points if point.complete]
    if not complete:
        raise InputError(
            f"none of {len(points)} points has a validation figure for every seed, for trainings failed; they said why"
        )
    return Choice(tuple(points), max(complete, key=lambda point: point.mean))


def figure_of(metrics: Path, method: str) -> float:
    """The best-of-n accuracy of a method at the largest N, in per cent. Raises ``InputError``."""
    try:
        found = json.loads(metrics.read_text(encoding="utf-8"))
        runs = found["runs"]
        curves = runs[0]["curves"] if len(runs) == 1 else found["curves"]
        return float(curves[method][-1]["value" if len(runs) == 1 else "mean"])
    except OSError as error:
        raise InputError(
            f"{metrics} cannot be read ({error.strerror}); take its folder away and run it again"
        ) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{metrics} has no figures of best-of-n by '{method}'; name under sweep.figure one that it has, such as "
            "min, product, last or weighted"
        ) from error


def without_choice(metrics: Path) -> str:
    """What the same samples give without a scorer, in a few words; empty where that is not known."""
    try:
        run = json.loads(metrics.read_text(encoding="utf-8"))["runs"][0]
        return f"single samples {run['mean']['value']:.2f}, majority {run['curves']['majority'][-1]['value']:.2f}"
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ""


def summary(figures: Sequence[float]) -> dict[str, float | int | None]:
    """Mean and standard deviation (ddof 1) as fields; none where there are too few."""
    found = spread(figures) if len(figures) > 1 else None
    mean = None if not figures else found.mean if found else figures[0]
    return {"mean": mean, "std": found.std if found else None, "seeds": len(figures)}


def described(figures: Sequence[float]) -> str:
    """The same for people."""
    if len(figures) < 2:
        return f"{figures[0]:.2f}" if figures else "–"
    found: Spread = spread(figures)
    return found.describe(2)
