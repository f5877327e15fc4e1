"""Recipes: a job as one YAML file, checked before anything runs.

A recipe names its stages, each the options of one verb; ``genprm train RECIPE`` does its train stage::

    name: genprm-tiny
    data: {name: micro-world and GSM8K train, split: train, rows: 20000, mean_tokens: 640}
    stages:
      - name: train
        verb: train
        options: {kind: generative, ...}

Overrides are ``key=value`` with a YAML value: a key of the only stage (``optimizer.learning_rate=0.002``), of a named
one (``train.seed=1``), or of the recipe (``data.rows=10``). Unknown keys are refused, with the nearest known place.
What a train stage may say is in ``genprm.train.options.rows``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genprm import resources
from genprm.errors import RecipeError

Checked = TypeVar("Checked", bound=BaseModel)


class Options(BaseModel):
    """Base of every part of a recipe: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class DataPlan(Options):
    """What the recipe reads, so that a dry run can plan without the network."""

    name: str
    split: str = "train"
    rows: int = Field(ge=0)
    mean_tokens: float = Field(ge=0)
    """Of a training row; of a solution where the recipe samples some."""
    steps: int | None = Field(default=None, gt=0)
    """Of a solution, in the mean."""


class Until(Options):
    """Enough of a data set: earlier stages do more, round after round, until a curation has exported so much."""

    kept: int = Field(gt=0)
    """Rows, of the format that has the fewest."""
    grow: dict[str, dict[str, int]] = Field(min_length=1)
    """What the options of earlier stages gain each round: ``{rollouts: {keep: 4}}``."""
    rounds: int = Field(default=8, gt=0)
    """At most so many rounds in all."""


class Stage(Options):
    """One verb of a recipe with its options, which the verb itself checks."""

    name: str
    verb: str
    """As on the command line: the options are those of ``genprm VERB``, ``in`` is its argument. ``{NAME}`` in a text
    stands for the folder of the stage NAME."""
    source: str | None = Field(default=None, alias="from")
    options: dict[str, Any] = {}
    data: DataPlan | None = None
    """What this stage reads, where it is not what the recipe reads."""
    until: Until | None = None


Names = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]
"""One name, or several."""


class Sweep(Options):
    """What ``genprm run RECIPE --grid`` varies, what decides among the points, and what is looked at once."""

    names: dict[str, Names] = {}
    """Short names of override keys: ``{lr: train.optimizer.learning_rate}``. ``seed``: what ``--seeds`` sets; the seed
    of every train stage unless stated."""
    values: dict[str, tuple[Any, ...]] = {}
    """The grid of ``--grid all``; those of ``seed`` are taken wherever ``--seeds`` is left out."""
    validation: Names = Field(min_length=1)
    """Stages that evaluate best-of-n: the mean of their figures decides."""
    test: Names = ()
    """Such stages that are done for the chosen point alone, after the choice."""
    figure: str = "min"
    """The method of best-of-n whose figure counts, at the largest N."""
    stages: tuple[Stage, ...] = ()
    """The stages of a sweep, where they are not the recipe's; one that the recipe has too begins with its options."""


class Recipe(Options):
    """A named job in stages."""

    name: str
    data: DataPlan | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    sweep: Sweep | None = None

    @model_validator(mode="after")
    def _grows(self) -> Recipe:
        before: dict[str, Stage] = {}
        for stage in self.stages:
            if stage.until is not None and stage.verb != "curate":
                raise ValueError(f"stage '{stage.name}' has 'until', but only a stage 'curate' exports rows to count")
            for name, options in () if stage.until is None else stage.until.grow.items():
                if name not in before:
                    raise ValueError(f"stage '{stage.name}' grows '{name}', which is no stage before it")
                if other := [key for key in options if type(before[name].options.get(key)) is not int]:
                    raise ValueError(f"stage '{stage.name}' grows {name}.{other[0]}, which is no whole number there")
            before[stage.name] = stage
        return self

    def stage(self, verb: str) -> Stage:
        """The one stage of a verb. Raises ``RecipeError`` if there is none or more."""
        found = [stage for stage in self.stages if stage.verb == verb]
        if len(found) != 1:
            have = ", ".join(f"{stage.name} ({stage.verb})" for stage in self.stages)
            raise RecipeError(
                f"recipe '{self.name}' has {len(found)} stages of verb '{verb}' (it has {have}); need one"
            )
        return found[0]


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file (or of a shipped name such as ``tiny.yaml``) with overrides applied."""
    path = _find(source)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text; a recipe is a YAML file") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path} holds no mapping; a recipe has the keys name, data and stages")
    for override in overrides:
        _override(tree, override)
    return check(Recipe, tree, str(path))


def changed(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with overrides applied to it."""
    tree = recipe.model_dump(by_alias=True, exclude_unset=True)
    tree["stages"] = list(tree["stages"])
    for override in overrides:
        _override(tree, override)
    return check(Recipe, tree, f"recipe '{recipe.name}'")


def check(model: type[Checked], tree: Mapping[str, Any], place: str) -> Checked:
    """``tree`` as a ``model``; a ``RecipeError`` names the first key that does not fit."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the options"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"there is no such option here{_instead(model, [str(part) for part in first['loc']])}"
        raise RecipeError(f"{place}: {key}: {message}") from error


def _instead(model: type[BaseModel], keys: Sequence[str]) -> str:
    """What could have been meant by a key that there is not."""
    for key in keys[:-1]:
        field = model.model_fields.get(key)
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        found = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(found) != 1:
            return ""
        model = found[0]
    names = sorted(model.model_fields)
    near = get_close_matches(keys[-1], names, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(names)}"


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if path.name in resources.names("recipes") and path.parent.name in ("", "recipes"):
        return resources.path("recipes", path.name)
    shipped = ", ".join(name for name in resources.names("recipes") if name.endswith(".yaml")) or "none"
    raise RecipeError(f"there is no recipe file {source}; recipes that ship: {shipped}")


def tree_of(overrides: Sequence[str]) -> dict[str, Any]:
    """``key.key=value`` texts as a tree, for options that no file holds. Raises ``RecipeError``."""
    tree: dict[str, Any] = {}
    for override in overrides:
        parts, value = _parsed(override)
        _put(tree, parts, value, override)
    return tree


def _override(tree: dict[str, Any], override: str) -> None:
    parts, value = _parsed(override)
    place, parts = _root(tree, parts, override)
    _put(place, parts, value, override)


def _parsed(override: str) -> tuple[list[str], Any]:
    """The parts of the key, and the value."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"override '{override}' is not key=value; write for example optimizer.learning_rate=0.002")
    try:
        return parts, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"override '{override}': the value is not valid YAML") from error


def _put(place: dict[str, Any], parts: Sequence[str], value: Any, override: str) -> None:
    for part in parts[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise RecipeError(f"override '{override}': '{part}' is a value and has no keys below it")
    place[parts[-1]] = value


def _root(tree: dict[str, Any], parts: list[str], override: str) -> tuple[dict[str, Any], list[str]]:
    """Where an override starts, and the rest of its key."""
    stages = tree.get("stages")
    found = [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
    named = {str(stage.get("name")): stage for stage in found}
    if len(parts) > 2 and parts[0] in named and parts[1] == "until":
        return named[parts[0]], parts[1:]
    if len(parts) > 1 and parts[0] in named:
        return named[parts[0]].setdefault("options", {}), parts[1:]
    if len(found) == 1:
        options = found[0].setdefault("options", {})
        plan = parts[0] == "data" and len(parts) > 1 and parts[1] in DataPlan.model_fields
        if parts[0] != "name" and not plan:
            return options, parts
    if parts[0] in Recipe.model_fields:
        return tree, parts
    names = ", ".join(str(name) for name in named) or "none"
    raise RecipeError(f"override '{override}' names no stage; begin it with a stage name: {names}")
