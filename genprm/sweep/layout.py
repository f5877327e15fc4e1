"""Which stage of a sweep is done for which values. Pure.

A stage depends on an axis if the axis sets one of its options, or if it reads a stage that depends on it. It is done
once for each combination of the values that it depends on, in the folder of that combination: what depends on nothing
lies in ``common``. Stages of one folder are a ``Part``. Parts that depend on fewer axes go first; those on equally many
need nothing of each other, so they may be done at once.

What only the test stages need is late: it waits for the choice, and is done for the chosen point alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genprm import recipes
from genprm.errors import RecipeError
from genprm.recipes import Recipe, Stage
from genprm.sweep.grid import SEED, Axis, Values, named, overrides, section_of

COMMON = "common"


@dataclass(frozen=True, slots=True)
class Part:
    """Stages that depend on the same axes, with the values of these in their options."""

    values: Values
    recipe: Recipe
    """Of these stages alone, in order."""
    needs: tuple[tuple[str, ...], ...]
    """What each of them reads, directly or through others."""
    folders: Mapping[str, str]
    """The name of the folder of every stage that they may read, and of their own."""

    @property
    def folder(self) -> str:
        return folder_of(self.values)


@dataclass(frozen=True, slots=True)
class Layout:
    """The stages of a sweep and what each depends on. Made by ``of``."""

    recipe: Recipe
    axes: tuple[Axis, ...]
    depends: Mapping[str, tuple[str, ...]]
    """Names of the axes that a stage depends on, in their order."""
    needs: Mapping[str, frozenset[str]]
    """The stages that a stage reads, directly or through others."""
    late: frozenset[str]
    """The stages that wait for the choice."""

    @classmethod
    def of(cls, recipe: Recipe, axes: tuple[Axis, ...]) -> Layout:
        """Raises ``RecipeError`` where the stages that decide or test are none, or depend on what they must not."""
        needs = _needs(recipe)
        depends = {
            stage.name: tuple(axis.name for axis in axes if _touched(axis) & ({stage.name} | needs[stage.name]))
            for stage in recipe.stages
        }
        _check(recipe, axes, depends, needs)
        return cls(recipe, axes, depends, needs, _late(recipe, needs))

    def waves(self, points: Sequence[Values], *, late: bool) -> Iterator[list[Part]]:
        """The parts of these points, each once: those of one list need nothing of each other, only of earlier ones."""
        stages = [stage for stage in self.recipe.stages if (stage.name in self.late) == late]
        for count in range(len(self.axes) + 1):
            sets = dict.fromkeys(self.depends[one.name] for one in stages if len(self.depends[one.name]) == count)
            wave = [
                self._part(names, values, [one for one in stages if self.depends[one.name] == names])
                for names in sets
                for values in _restricted(points, names)
            ]
            if wave:
                yield wave

    def times(self, stage: str) -> int:
        """How often a stage is done for the whole grid; a late one for one point."""
        count = 1
        for axis in self.axes:
            if axis.name in self.depends[stage] and (stage not in self.late or axis.name == SEED):
                count *= len(axis.values)
        return count

    def folder(self, stage: str, point: Values) -> str:
        """The name of the folder that holds a stage of a point."""
        return folder_of({name: point[name] for name in self.depends[stage]})

    def _part(self, names: tuple[str, ...], values: Values, stages: Sequence[Stage]) -> Part:
        resolved = recipes.changed(self.recipe, overrides(self.axes, values))
        own = {stage.name for stage in stages}
        kept = tuple(stage for stage in resolved.stages if stage.name in own)
        readable = [name for name, depends in self.depends.items() if set(depends) <= set(names)]
        return Part(
            values,
            resolved.model_copy(update={"stages": kept, "sweep": None}),
            tuple(tuple(sorted(self.needs[stage.name])) for stage in kept),
            {name: self.folder(name, values) for name in readable},
        )


def folder_of(values: Values) -> str:
    return named(values) if values else COMMON


def _restricted(points: Sequence[Values], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The different combinations of these axes among the points."""
    found: list[dict[str, Any]] = []
    for point in points:
        values = {name: point[name] for name in names}
        if values not in found:
            found.append(values)
    return found


def _touched(axis: Axis) -> set[str]:
    return {key.partition(".")[0] for key in axis.keys}


def _needs(recipe: Recipe) -> dict[str, frozenset[str]]:
    """What every stage reads, directly or through others. Raises ``RecipeError`` where that is not before it."""
    names = [stage.name for stage in recipe.stages]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RecipeError(f"recipe '{recipe.name}' has two stages '{twice}'; give each a name of its own")
    found: dict[str, frozenset[str]] = {}
    for place, stage in enumerate(recipe.stages):
        read = {name for name in names if name == stage.source or any(f"{{{name}}}" in text for text in _texts(stage))}
        if later := [name for name in names[place:] if name in read]:
            raise RecipeError(
                f"recipe '{recipe.name}': stage '{stage.name}' reads '{later[0]}', which is no stage before"
            )
        found[stage.name] = frozenset(read).union(*(found[name] for name in read))
    return found


def _texts(stage: Stage) -> Iterator[str]:
    waiting: list[Any] = [stage.options]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, Iterable):
            waiting += one


def _late(recipe: Recipe, needs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """What the test needs and the validation does not, and whatever reads that."""
    section = section_of(recipe)
    decides = set(section.validation).union(*(needs[name] for name in section.validation))
    tests = set(section.test).union(*(needs[name] for name in section.test)) - decides
    return frozenset(name for name in needs if name in tests or needs[name] & tests)


def _check(
    recipe: Recipe, axes: Sequence[Axis], depends: Mapping[str, Sequence[str]], needs: Mapping[str, frozenset[str]]
) -> None:
    section = section_of(recipe)
    stages = {stage.name: stage for stage in recipe.stages}
    for name in (*section.validation, *section.test):
        if name not in stages or (stages[name].verb, stages[name].options.get("bench")) != ("evaluate", "best-of-n"):
            raise RecipeError(
                f"recipe '{recipe.name}', section 'sweep': '{name}' is no stage of verb evaluate and bench best-of-n, "
                f"which a choice by accuracy needs; its stages: {', '.join(stages)}"
            )
    for name in section.validation:
        if tested := [one for one in section.test if one == name or one in needs[name]]:
            raise RecipeError(
                f"recipe '{recipe.name}', section 'sweep': the test stage '{tested[0]}' would decide; name stages of "
                "their own for validation"
            )
    for axis in axes:
        if not any(axis.name in depends[name] for name in section.validation):
            raise RecipeError(
                f"the grid varies '{axis.name}', which changes nothing that {', '.join(section.validation)} "
                "evaluates; leave it out"
            )
