"""What a sweep varies: named axes of values, from ``--grid`` and the recipe's ``sweep`` section. Pure.

A value is written in one way only (5e-6, 0.000005 and 5.0e-06 are one), so a point has one name and one folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import quote

import yaml

from genprm import recipes
from genprm.errors import RecipeError
from genprm.recipes import Recipe, Stage, Sweep

Values = Mapping[str, Any]
"""A value for each of some axes."""
SEED = "seed"
"""The axis over which figures are averaged."""
ALL = "all"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies."""

    name: str
    keys: tuple[str, ...]
    """The overrides that it sets, all to the same value."""
    values: tuple[Any, ...]


def swept(recipe: Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe with the stages of its section ``sweep``, then overridden. Raises ``RecipeError``."""
    section = section_of(recipe)
    own = {stage.name: stage for stage in recipe.stages}
    stages = tuple(_joined(own.get(stage.name), stage) for stage in section.stages) or recipe.stages
    if growing := [stage.name for stage in stages if stage.until is not None]:
        raise RecipeError(
            f"recipe '{recipe.name}': stage '{growing[0]}' has 'until', which a sweep does not know; make its data by "
            "genprm run without --grid, and name the folder"
        )
    made = recipe.model_copy(update={"stages": stages, "sweep": section.model_copy(update={"stages": ()})})
    return recipes.changed(made, overrides)


def section_of(recipe: Recipe) -> Sweep:
    """The recipe's section ``sweep``. Raises ``RecipeError`` if it has none."""
    if recipe.sweep is None:
        raise RecipeError(
            f"recipe '{recipe.name}' has no section 'sweep', which names the validation stage that decides; add for "
            "example sweep: {validation: STAGE, test: STAGE}"
        )
    return recipe.sweep


def axes(recipe: Recipe, grid: Sequence[str], seeds: str | None = None) -> tuple[Axis, ...]:
    """What varies: entries ``name=value,value`` or ``all`` of a grid, and seeds, which come last.

    In the order of the recipe's names, then of the alphabet, whatever the order of the entries. Raises ``RecipeError``.
    """
    section, given, said = section_of(recipe), dict[str, tuple[Any, ...]](), set[str]()
    for entry in grid:
        if entry == ALL:
            given |= {name: tuple(map(_value, values)) for name, values in section.values.items()}
            continue
        name, equals, text = entry.partition("=")
        if not equals or not name or not text.strip():
            raise RecipeError(f"--grid is '{entry}'; give NAME=VALUE,VALUE with a name or key of the recipe, or {ALL}")
        if name in said:
            raise RecipeError(f"--grid names '{name}' twice; give all of its values at once: {name}=VALUE,VALUE")
        said.add(name)
        given[name] = _values(text, f"--grid {name}")
    if seeds is not None:
        given[SEED] = _values(seeds, "--seeds")
    elif SEED in section.values:
        given.setdefault(SEED, tuple(map(_value, section.values[SEED])))
    if not set(given) - {SEED}:
        raise RecipeError(f"the grid of recipe '{recipe.name}' is empty; give --grid NAME=VALUE,VALUE")
    known = [*(name for name in section.names if name != SEED), *sorted(set(given) - set(section.names) - {SEED}), SEED]
    found = tuple(Axis(name, _keys(recipe, name), given[name]) for name in known if _checked(name, given))
    setters = [(key, axis.name) for axis in found for key in axis.keys]
    for key, name in setters:
        if other := next((one for again, one in setters if again == key and one != name), None):
            raise RecipeError(f"the grid's '{name}' and '{other}' both set {key}; leave one of them out")
    return found


def assignments(of: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination of values, the last axis varying first."""
    return [dict(zip([axis.name for axis in of], one, strict=True)) for one in product(*(axis.values for axis in of))]


def overrides(of: Sequence[Axis], values: Values) -> list[str]:
    """``key=value`` texts that set the axes that ``values`` names."""
    return [f"{key}={_yaml(values[axis.name])}" for axis in of if axis.name in values for key in axis.keys]


def named(values: Values) -> str:
    """The point as a name and a folder: ``eta=2,lr=5e-6,seed=0``. Different values have different names."""
    name = ",".join(f"{quote(key, safe='')}={shown(value)}" for key, value in values.items())
    if len(name) > _LONGEST_NAME:
        raise RecipeError(f"the point '{name[:60]}...' has too long a name for a folder; give shorter values")
    return name


def shown(value: Any) -> str:
    """A value in its one writing, without signs that have a meaning in names of points or of files."""
    if isinstance(value, float):
        return re.sub(r"e([+-]?)0*(\d)", r"e\1\2", repr(value).removesuffix(".0")).replace("e+", "e")
    return quote(value if isinstance(value, str) else _yaml(value), safe="+ ")


def _joined(own: Stage | None, stage: Stage) -> Stage:
    if own is None:
        return stage
    given = {name: getattr(stage, name) for name in stage.model_fields_set}
    return own.model_copy(update={**given, "options": _merged(own.options, stage.options)})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _merged(made[key], value) if both else value
    return made


def _keys(recipe: Recipe, name: str) -> tuple[str, ...]:
    """The overrides of an axis. Raises ``RecipeError`` where one names no stage."""
    trained = tuple(f"{stage.name}.seed" for stage in recipe.stages if stage.verb == "train")
    keys = section_of(recipe).names.get(name, trained if name == SEED else (name,))
    stages, short = [stage.name for stage in recipe.stages], ", ".join(section_of(recipe).names) or "none"
    for key in keys:
        if key.partition(".")[0] not in stages or not key.partition(".")[2]:
            raise RecipeError(
                f"the grid varies '{key}', which is no option of a stage of recipe '{recipe.name}'; its short names: "
                f"{short}; others begin with a stage: {', '.join(stages)}"
            )
    if not keys:
        raise RecipeError(f"recipe '{recipe.name}' says no keys that '{name}' sets; give them under sweep.names")
    return keys


def _checked(name: str, given: Mapping[str, tuple[Any, ...]]) -> bool:
    """Whether an axis is in the grid. Raises ``RecipeError`` if it has a value twice, or a seed is no whole number."""
    values = given.get(name, ())
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise RecipeError(f"the grid has {name}={shown(twice[0])} twice; give every value once")
    if name == SEED and (other := [value for value in values if type(value) is not int]):
        raise RecipeError(f"the seed {shown(other[0])} is no whole number")
    return bool(values)


def _values(text: str, place: str) -> tuple[Any, ...]:
    try:
        found = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise RecipeError(f"{place}: '{text}' is no list of values; separate them by single commas") from error
    if not isinstance(found, list) or not found or None in found:
        raise RecipeError(f"{place}: '{text}' has an empty value; separate values by single commas")
    return tuple(map(_value, found))


def _value(given: Any) -> Any:
    """A number where the text is one (YAML takes 5e-6 for a text), in whole numbers where it is whole."""
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        given = float(given)
    return int(given) if isinstance(given, float) and given.is_integer() and abs(given) < 1e15 else given


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
