"""``genprm curate RUN --out DIR [KEY=VALUE]...``: labels, rationales, filters and data sets from a rollout run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.text import Text

from genprm.cli import console
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.curate.job import Curated
    from genprm.curate.options import Curation


def curate(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of genprm rollout.")],
    out: Annotated[Path, typer.Option(help="Run directory; what models were asked there is not asked again.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Such as rule=rpe_ratio, annotator.model=NAME, consensus=none."),
    ] = None,
    sandbox: Annotated[str, typer.Option(help="What runs an annotator's code: auto, docker or local.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="Seed of the curation.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="local|ADDRESS", help="Spread the questions over this Ray cluster.")
    ] = None,
    replicas: Annotated[int | None, typer.Option(help="Engines, with --ray.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; load and write nothing.")] = False,
) -> None:
    """Make training data of rollouts."""
    from genprm import background
    from genprm.cli.verify import STOPPED, cluster_of
    from genprm.curate.job import curate as run
    from genprm.curate.job import read_rollout_run
    from genprm.curate.selection import stages

    options = _options([*(overrides or ()), *([] if seed is None else [f"seed={seed}"])])
    chain = stages(options)
    to = console.err()
    if dry_run:
        solutions, rollouts = read_rollout_run(source)
        asked = sum(use.samples for use in (options.annotator, options.judge) if use is not None)
        for line in (
            f"{len(solutions)} solutions with {len(rollouts)} rollouts from {source}",
            f"{len(solutions) * asked} questions to models",
            f"filters: {', '.join(stage.name for stage in chain) or 'none'}",
            "dry run: nothing was loaded or written",
        ):
            console.out().print(Text(line), soft_wrap=True)
        return
    console.log_to_stderr()
    try:
        found = background.shared().run(
            run(source, out, options, chain, _openings(options, sandbox), ray=cluster_of(ray, replicas, None))
        )
    except KeyboardInterrupt:
        to.print(f"stopped; answers are kept in {out}: run the same command again to continue", soft_wrap=True)
        raise typer.Exit(STOPPED) from None
    _print(found)


def _options(overrides: list[str]) -> Curation:
    from genprm.curate.options import Curation
    from genprm.recipes import check

    tree: dict[str, Any] = {}
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not all(parts := key.split(".")):
            raise InputError(f"'{override}' is not KEY=VALUE; write for example consensus=none")
        place = tree
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f"'{override}': '{part}' was given a value and has no keys below it")
        place[parts[-1]] = yaml.safe_load(text)
    return check(Curation, tree, "genprm curate")


def _openings(options: Curation, sandbox: str) -> list[Any]:
    from genprm.curate.annotation import AnnotationSettings
    from genprm.curate.asking import Opening
    from genprm.engines import Sampling

    found = []
    for task, use in (("annotate", options.annotator), ("judge", options.judge)):
        if use is not None:
            found.append(
                Opening(
                    task, use.model, use.engine, sandbox,  # type: ignore[arg-type]
                    AnnotationSettings(chunk_tokens=use.max_tokens, thinks=use.thinks), use.max_tokens,
                    Sampling(use.temperature, use.top_p, use.top_k), options.seed, engine_options=use.engine_options,
                )
            )  # fmt: skip
    return found


def _print(found: Curated) -> None:
    to = console.out()
    grid = console.grid("filter", "in", "kept", "dropped")
    for row in found.sifted.funnel.rows:
        reasons = ", ".join(f"{name} {count}" for name, count in row.reasons.items()) or "–"
        grid.add_row(row.stage, str(row.entered), str(row.kept), reasons)
    to.print(grid)
    rules = console.grid("rule", "answer of the best-scored solution is right")
    for name, share in found.metrics["answer_candidates"].items():
        rules.add_row(name, "–" if share is None else f"{100 * share:.1f} %")
    to.print(rules)
    if found.metrics["dropped_problems"]:
        to.print(
            f"{len(found.metrics['dropped_problems'])} problems are never solved by the completion model: no labels"
        )
    kept, exported = (
        found.metrics["kept"],
        ", ".join(f"{name} {rows}" for name, rows in found.metrics["exported"].items()),
    )
    to.print(Text(f"{kept} solutions kept; rows exported: {exported or 'none'}; all in {found.path}"), soft_wrap=True)
