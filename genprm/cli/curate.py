"""``genprm curate RUN --out DIR [KEY=VALUE]...``: labels, rationales, filters and data sets from a rollout run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from genprm.cli import console, shared

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
    ray: shared.Ray = None,
    replicas: shared.Replicas = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload what is exported to the hub, as private data sets.")
    ] = None,
    dry_run: shared.DryRun = False,
) -> None:
    """Make training data of rollouts."""
    from genprm import background, recipes
    from genprm.cli.progress import AnswerDisplay
    from genprm.curate.job import curate as run
    from genprm.curate.job import read_rollout_run
    from genprm.curate.options import Curation
    from genprm.curate.selection import stages

    changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
    options = recipes.check(Curation, recipes.tree_of(changes), "genprm curate")
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
    openings, cluster = _openings(options, sandbox), shared.cluster_of(ray, replicas, None)
    with console.stoppable(out), AnswerDisplay(to) as display:
        found = background.shared().run(
            run(source, out, options, chain, openings, ray=cluster, on_answer=display.answered)
        )
    _print(found)
    if push is not None:
        _push(found, push)


def _push(found: Curated, name: str) -> None:
    """One data set for each format; of several, the format ends the name."""
    from genprm.curate.export import push_to_hub

    formats = list(found.metrics["exported"])
    for format in formats:
        address = push_to_hub(found.path / "export" / format, name if len(formats) == 1 else f"{name}-{format}")
        console.out().print(Text(f"uploaded: {address}"), soft_wrap=True)


def _openings(options: Curation, sandbox: str) -> list[Any]:
    from genprm.curate.annotation import AnnotationSettings
    from genprm.curate.asking import Opening
    from genprm.engines import Sampling

    found = []
    for task, use in (("annotator", options.annotator), ("judge", options.judge)):
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
    rules = console.grid("rule", "right answers where each problem's best-scored solution is taken")
    for name, share in found.metrics["answer_candidates"].items():
        rules.add_row(name, "–" if share is None else f"{100 * share:.1f} %")
    to.print(rules)
    if unsolved := len(found.metrics["dropped_problems"]):
        to.print(
            f"{unsolved} problems are never solved by the completion model, so relative progress labels none of them"
        )
    exported = ", ".join(f"{name} {rows}" for name, rows in found.metrics["exported"].items()) or "none"
    to.print(f"{found.metrics['kept']} solutions kept; rows exported: {exported}; all in {found.path}", soft_wrap=True)
