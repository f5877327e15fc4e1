"""A stage of a recipe as the command line that does it, wherever the folders of stages lie. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from genprm import recipes
from genprm.errors import RecipeError
from genprm.recipes import Recipe, Stage

Folders = Mapping[str, Path]
"""The folder of every stage that may be read, and of the stage itself."""


def check(recipe: Recipe) -> None:
    """What a later stage would refuse is refused before the first is done. Raises ``RecipeError``."""
    from genprm.curate.options import Curation
    from genprm.train.kinds import training

    for stage in recipe.stages:
        if stage.verb == "curate":
            options = {name: value for name, value in stage.options.items() if name != "in"}
            recipes.check(Curation, options, f"stage '{stage.name}'")
        elif stage.verb == "train":
            training(recipe.model_copy(update={"stages": (stage,)}), recipe.name)


def line_of(stage: Stage, folders: Folders, source: str, overrides: Sequence[str] = ()) -> list[str]:
    """The command line, without ``genprm``. ``source``: the recipe, for a training. Raises ``RecipeError``."""
    folder = str(folders[stage.name])
    if stage.verb == "train":
        placed = [f"{stage.name}.{key}={plain(value)}" for key, value in _placed(stage.options, folders)]
        return ["train", source, "--out", folder, *_labelled_steps(stage, folders), *overrides, *placed]
    options = {name: _filled(value, folders) for name, value in stage.options.items()}
    given = options.pop("in", None)
    if stage.source is not None:
        given = _folder(stage.source, folders)
    if given is None and stage.verb != "lab":
        raise RecipeError(f"stage '{stage.name}' has neither 'from' (a stage) nor the option 'in'; give one")
    if stage.verb == "evaluate":
        bench = _bench(stage, options.pop("bench", None))
        return ["evaluate", bench, str(given), "--out", str(Path(folder) / METRICS), *_flags(options)]
    line = [stage.verb, *([] if given is None else [str(given)]), "--out", folder]
    if stage.verb == "curate":
        return [*line, *(f"{key}={plain(value)}" for key, value in _leaves(options))]
    return [*line, *_flags(options)]


METRICS = "metrics.json"
"""What a stage ``evaluate`` writes into its folder."""


def make_room(stage: Stage, folders: Folders) -> None:
    """The folder of a stage whose verb writes a file and makes no folder."""
    if stage.verb == "evaluate":
        folders[stage.name].mkdir(parents=True, exist_ok=True)


def plain(value: Any) -> str:
    """As YAML on one line; a text as it is."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def _bench(stage: Stage, bench: Any) -> str:
    if not isinstance(bench, str):
        raise RecipeError(f"stage '{stage.name}' evaluates nothing; give the option 'bench', such as best-of-n")
    return bench


def _flags(options: Mapping[str, Any]) -> list[str]:
    line = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        line += [flag] if value is True else [] if value is False or value is None else [f"{flag}={plain(value)}"]
    return line


def _labelled_steps(stage: Stage, folders: Folders) -> list[str]:
    """What a training takes from a curation: the export that its kind reads."""
    if stage.source is None:
        return []
    name = "extra-tokens" if stage.options.get("kind") == "head" else "step-tags"
    return ["--data", f"steps={_folder(stage.source, folders)}/export/{name}"]


def _placed(options: Mapping[str, Any], folders: Folders) -> list[tuple[str, Any]]:
    """The options of a training that name folders of stages: its recipe cannot know where they lie."""
    leaves = [(key, value, _filled(value, folders)) for key, value in _leaves(options)]
    return [(key, filled) for key, value, filled in leaves if filled != value]


def _folder(name: str, folders: Folders) -> str:
    if name not in folders:
        raise RecipeError(f"the recipe has no stage '{name}' to take from; it has {', '.join(folders)}")
    return str(folders[name])


def _filled(value: Any, folders: Folders) -> Any:
    """With the folders of stages where a text names them in braces."""
    if isinstance(value, Mapping):
        return {key: _filled(one, folders) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, folders) for one in value]
    if isinstance(value, str):
        for name, folder in folders.items():
            value = value.replace(f"{{{name}}}", str(folder))
    return value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return leaves
