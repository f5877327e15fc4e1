"""Rounds of ``genprm run``: where a stage says ``until``, earlier stages are continued with more until it kept enough.

``rounds.json`` in the folder of the run says in which round each such stage is, so that the same command goes on there
and never makes a finished data set smaller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from genprm.cli import console
from genprm.errors import InputError
from genprm.recipes import Recipe, Stage
from genprm.records.lines import replace_text
from genprm.runs.directory import read_metrics


class Rounds:
    """The rounds of one recipe in one folder."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        self._recipe, self._out, self._path = recipe, out, out / "rounds.json"
        self._at: dict[str, int] = _stored(self._path)
        self._solutions: dict[str, int] = {}

    def grown(self, stage: Stage) -> Stage:
        """A stage as it is by now: with what stages behind it want it to gain."""
        gained = dict(stage.options)
        for other in self._recipe.stages:
            for key, by in {} if other.until is None else other.until.grow.get(stage.name, {}).items():
                gained[key] += by * (self._at.get(other.name, 1) - 1)
        return stage.model_copy(update={"options": gained})

    def back_to(self, stage: Stage, stages: Sequence[Stage]) -> int | None:
        """The place in ``stages`` to go on from once ``stage`` is done, if it asks for another round."""
        if stage.until is None:
            return None
        metrics = read_metrics(self._out / stage.name)
        kept = min((metrics.get("exported") or {}).values(), default=0)
        if kept >= stage.until.kept:
            return None
        at, before = self._at.get(stage.name, 1), self._solutions.get(stage.name)
        self._solutions[stage.name] = metrics.get("solutions", 0)
        place = next((place for place, one in enumerate(stages) if one.name in stage.until.grow), None)
        if at >= stage.until.rounds:
            what, place = f"that was the last of {at} rounds", None
        elif before == self._solutions[stage.name]:
            what, place = "the last round added no solution, so no other follows", None
        elif place is None:
            what = f"no round follows, for it begins with '{next(iter(stage.until.grow))}'; leave out --from"
        else:
            what = f"round {at + 1} follows"
            self._at[stage.name] = at + 1
            replace_text(self._path, json.dumps(self._at) + "\n")
        console.err().print(f"{stage.name} has {kept:,} of the {stage.until.kept:,} wanted: {what}", soft_wrap=True)
        return place


def _stored(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path} is no JSON; remove it to begin with the first round") from error
    if not isinstance(found, dict) or not all(isinstance(at, int) and at > 0 for at in found.values()):
        raise InputError(f"{path} says no rounds; remove it to begin with the first one")
    return found
