"""``genprm run RECIPE --out DIR``: every stage of a recipe, in order; the same command again continues.

A stage is a command line: ``{verb: rollout, options: {in: gsm8k, model: NAME, k: 16}}`` is ``genprm rollout gsm8k
--model NAME --k 16 --out DIR/STAGE``. So a recipe can do nothing that the command line cannot, and each stage is
checked, continued and reported by its own verb. Where a stage says ``until``, earlier ones are continued with more
(solutions kept of a problem, say) until it has exported enough (``rounds``).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.text import Text

from genprm import planning, recipes
from genprm.cli import console
from genprm.cli.rounds import Rounds
from genprm.errors import RecipeError
from genprm.recipes import Recipe, Stage

THROUGHPUT = 2500.0
"""Tokens a second on one GPU, for the plan: what is assumed unless stated."""


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of one that ships.")],
    out: Annotated[Path, typer.Option(help="Folder; each stage has a run directory of its name in it.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as rollouts.k=8.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Begin with this stage.")] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first N problems.")] = None,
    ray: Annotated[str | None, typer.Option(metavar="local|ADDRESS", help="For the stages that know it.")] = None,
    tokens_per_s: Annotated[float, typer.Option(help="Of one GPU, for the plan's hours.")] = THROUGHPUT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; load and write nothing.")] = False,
) -> None:
    """Do all stages of a recipe."""
    from genprm import cli

    loaded = recipes.load(recipe, overrides or ())
    stages = _from(loaded, first)
    _check(loaded)
    rounds = Rounds(loaded, out)
    commands = [command(rounds.grown(stage), loaded, recipe, overrides or (), out) for stage in stages]
    if dry_run:
        _plan(loaded, commands, limit, tokens_per_s)
        return
    place = 0
    while place < len(stages):
        stage = stages[place]
        line = command(rounds.grown(stage), loaded, recipe, overrides or (), out)
        line += [] if limit is None or stage.verb != "rollout" else ["--limit", str(limit)]
        line += [] if ray is None or stage.verb not in ("rollout", "curate", "verify") else ["--ray", ray]
        console.err().rule(Text(f"{stage.name}: genprm {shlex.join(line)}"), align="left", style="dim")
        if code := cli.run(line):
            raise typer.Exit(code)
        again = rounds.back_to(stage, stages)
        place = place + 1 if again is None else again


def _check(recipe: Recipe) -> None:
    """What a later stage would refuse is refused before the first is done. Raises ``RecipeError``."""
    from genprm.curate.options import Curation

    for stage in recipe.stages:
        if stage.verb == "curate":
            recipes.check(Curation, dict(stage.options), f"stage '{stage.name}'")


def command(stage: Stage, recipe: Recipe, source: str, overrides: Sequence[str], out: Path) -> list[str]:
    """The command line of a stage, without ``genprm``. Raises ``RecipeError``."""
    folder = str(out / stage.name)
    if stage.verb == "train":
        return ["train", source, "--out", folder, *_labelled_steps(stage, recipe, out), *overrides]
    options = {name: _filled(value, recipe, out) for name, value in stage.options.items()}
    given = options.pop("in", None)
    if stage.source is not None:
        given = _folder(stage.source, recipe, out)
    if given is None and stage.verb != "lab":
        raise RecipeError(f"stage '{stage.name}' has neither 'from' (a stage) nor the option 'in'; give one")
    line = [stage.verb, *([] if given is None else [str(given)]), "--out", folder]
    if stage.verb == "curate":
        return [*line, *(f"{key}={_plain(value)}" for key, value in _leaves(options))]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        line += [flag] if value is True else [] if value is False or value is None else [f"{flag}={_plain(value)}"]
    return line


def _labelled_steps(stage: Stage, recipe: Recipe, out: Path) -> list[str]:
    """What a training takes from a curation: the export that its kind reads."""
    if stage.source is None:
        return []
    name = "extra-tokens" if stage.options.get("kind") == "head" else "step-tags"
    return ["--data", f"steps={_folder(stage.source, recipe, out)}/export/{name}"]


def _from(recipe: Recipe, first: str | None) -> list[Stage]:
    names = [stage.name for stage in recipe.stages]
    if first is not None and first not in names:
        raise RecipeError(f"recipe '{recipe.name}' has no stage '{first}'; it has {', '.join(names)}")
    return list(recipe.stages[names.index(first) if first is not None else 0 :])


def _folder(name: str, recipe: Recipe, out: Path) -> str:
    if name not in [stage.name for stage in recipe.stages]:
        raise RecipeError(f"recipe '{recipe.name}' has no stage '{name}' to take from")
    return str(out / name)


def _filled(value: Any, recipe: Recipe, out: Path) -> Any:
    """With the folders of stages where a text names them in braces."""
    if isinstance(value, Mapping):
        return {key: _filled(one, recipe, out) for key, one in value.items()}
    if isinstance(value, str):
        for stage in recipe.stages:
            value = value.replace(f"{{{stage.name}}}", str(out / stage.name))
    return value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return leaves


def _plain(value: Any) -> str:
    """As YAML on one line; a text as it is."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def _plan(recipe: Recipe, commands: Sequence[Sequence[str]], limit: int | None, tokens_per_s: float) -> None:
    to = console.out()
    grid = console.grid("stage", "verb", "what", "tokens", "GPU hours")
    total = 0.0
    for one in planning.plan(recipe, limit):
        hours = one.hours(tokens_per_s)
        total += hours or 0.0
        tokens = "–" if one.tokens is None else f"{one.tokens / 1e6:,.1f} M"
        grid.add_row(one.name, one.verb, one.what, tokens, "–" if hours is None else f"{hours:,.1f}")
    to.print(grid)
    to.print(f"{total:,.1f} GPU hours in all at {tokens_per_s:,.0f} tokens/s a GPU (--tokens-per-s)", soft_wrap=True)
    for line in commands:
        to.print(Text(f"genprm {shlex.join(line)}"), soft_wrap=True)
    to.print("dry run: nothing was loaded or written")
