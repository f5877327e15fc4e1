"""``genprm run RECIPE --out DIR``: every stage of a recipe, in order; the same command again continues.

A stage is a command line: ``{verb: rollout, options: {in: gsm8k, model: NAME, k: 16}}`` is ``genprm rollout gsm8k
--model NAME --k 16 --out DIR/STAGE``. So a recipe can do nothing that the command line cannot, and each stage is
checked, continued and reported by its own verb. Where a stage says ``until``, earlier ones are continued with more
(solutions kept of a problem, say) until it has exported enough (``rounds``).

With ``--grid eta=1,2 lr=1e-6,5e-7`` it is a sweep: the recipe at every point of the grid with every seed (``sweep``).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
from rich.text import Text

from genprm import planning, recipes
from genprm.cli import console, shared
from genprm.cli.rounds import Rounds
from genprm.cli.stage_lines import check, line_of, make_room
from genprm.errors import InputError, RecipeError
from genprm.recipes import Recipe, Stage

THROUGHPUT = 2500.0
"""Tokens a second on one GPU, for the plan: what is assumed unless stated."""


class Command(typer.core.TyperCommand):
    """``--grid a=1,2 b=3`` is one option with all its entries; the parser gives an option one word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, entry_by_entry(args))


def entry_by_entry(args: Sequence[str]) -> list[str]:
    """Arguments with ``--grid`` before each of its entries: the first that follows, and then all with ``=``."""
    found: list[str] = []
    inside = False
    for before, arg in zip(["", *args], args, strict=False):
        first = before == "--grid"
        inside = first or arg.startswith("--grid=") or (inside and "=" in arg and not arg.startswith("-"))
        found += ["--grid", arg] if inside and not first and not arg.startswith("--grid=") else [arg]
    return found


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of one that ships.")],
    out: Annotated[Path, typer.Option(help="Folder; each stage has a run directory of its name in it.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as rollouts.k=8.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Begin with this stage.")] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first N problems.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="local|ADDRESS", help="For the stages that know it; with --grid for runs of the recipe."),
    ] = None,
    replicas: Annotated[int | None, typer.Option(help="With --ray: engines of a stage, or runs at once.")] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="all|NAME=V,V...", help="A run for every combination of values; all: as the recipe says."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="N,N...", help="With --grid: every point with each.")] = None,
    test_again: Annotated[
        bool, typer.Option("--test-again", help="With --grid: test the choice though another point was tested.")
    ] = False,
    tokens_per_s: Annotated[float, typer.Option(help="Of one GPU, for the plan's hours.")] = THROUGHPUT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; load and write nothing.")] = False,
) -> None:
    """Do all stages of a recipe."""
    from genprm import cli

    cluster = shared.cluster_of(ray, replicas, None)
    if grid:
        from genprm.cli import sweep

        if first is not None:
            raise InputError("--from is of one run, and --grid asks for many; what is done of them is not done again")
        sweep.sweep(
            recipe, overrides or (), out, grid=grid, seeds=seeds, limit=limit, cluster=cluster, test_again=test_again,
            tokens_per_s=tokens_per_s, dry_run=dry_run,
        )  # fmt: skip
        return
    if seeds is not None or test_again:
        raise InputError("--seeds and --test-again are of a sweep; add --grid NAME=VALUE,VALUE")
    loaded = recipes.load(recipe, overrides or ())
    stages = _from(loaded, first)
    check(loaded)
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
        line += [] if replicas is None or "--ray" not in line else ["--replicas", str(replicas)]
        console.err().rule(Text(f"{stage.name}: genprm {shlex.join(line)}"), align="left", style="dim")
        make_room(stage, _folders(loaded, out))
        if code := cli.run(line):
            raise typer.Exit(code)
        again = rounds.back_to(stage, stages)
        place = place + 1 if again is None else again


def command(stage: Stage, recipe: Recipe, source: str, overrides: Sequence[str], out: Path) -> list[str]:
    """The command line of a stage, without ``genprm``. Raises ``RecipeError``."""
    return line_of(stage, _folders(recipe, out), source, overrides)


def _folders(recipe: Recipe, out: Path) -> dict[str, Path]:
    return {stage.name: out / stage.name for stage in recipe.stages}


def _from(recipe: Recipe, first: str | None) -> list[Stage]:
    names = [stage.name for stage in recipe.stages]
    if first is not None and first not in names:
        raise RecipeError(f"recipe '{recipe.name}' has no stage '{first}'; it has {', '.join(names)}")
    return list(recipe.stages[names.index(first) if first is not None else 0 :])


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
    to.print(
        f"at most {total:,.1f} GPU hours in all at {tokens_per_s:,.0f} tokens/s a GPU (--tokens-per-s), "
        "apart from stages without a figure",
        soft_wrap=True,
    )
    for line in commands:
        to.print(Text(f"genprm {shlex.join(line)}"), soft_wrap=True)
    to.print("dry run: nothing was loaded or written")
