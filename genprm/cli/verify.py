"""``genprm verify IN --out DIR``: score every step of every solution; the same command again continues the run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from genprm.cli import console, shared
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.api import Verifier
    from genprm.rationale.dialogue import Settings
    from genprm.records import Loaded
    from genprm.verify.job import Summary


def verify(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="JSONL file, hub:name[:config]:split, or - for stdin.")],
    out: shared.Out,
    model: Annotated[str, typer.Option(help="Model folder or hub name.")] = "genprm-tiny",
    scorer: Annotated[
        str,
        typer.Option(
            help="How the model is read: generative, or a discriminative format (math-shepherd, er-prm, rlhflow, "
            "qwen-prm); auto: as its folder says."
        ),
    ] = "auto",
    engine: shared.Engine = "auto",
    engine_option: shared.EngineOption = None,
    votes: Annotated[int, typer.Option(help="Independent votes on each solution.")] = 8,
    mode: Annotated[
        Literal["direct", "analyze", "code-only", "code", "cascade"],
        typer.Option(help="What a rationale consists of; cascade: direct, then analyze, then code where it is unsure."),
    ] = "code",
    margin: Annotated[float, typer.Option(help="With --mode cascade: a reward so close to 0 or 1 is sure.")] = 0.1,
    no_execute: Annotated[bool, typer.Option("--no-execute", help="The model guesses what its code prints.")] = False,
    sandbox: shared.Sandbox = "auto",
    vote_rule: Annotated[Literal["mean", "majority"], typer.Option(help="How votes become a reward.")] = "mean",
    settle: Annotated[
        Literal["all", "labels", "first-error", "risk"],
        typer.Option(help="Stop voting on a solution once further votes cannot change these; risk: hardly will."),
    ] = "all",
    risk: Annotated[float, typer.Option(help="With --settle risk: accepted chance of another first error.")] = 0.01,
    prompt_style: Annotated[
        Literal["chat", "official"], typer.Option(help="official: the format of the published evaluator.")
    ] = "chat",
    read_out: Annotated[
        Literal["natural", "forced"], typer.Option(help="Whether the model or genprm writes the box.")
    ] = "natural",
    history: Annotated[
        str, typer.Option(help="What a step sees of earlier ones: full, judgements or last-K.")
    ] = "full",
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="Share of the probability that is drawn from.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="0 keeps all tokens.")] = 20,
    seed: shared.Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Take the first N solutions.")] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(help="Most votes at work at once (with --ray, in each replica).")
    ] = None,
    ray: shared.Ray = None,
    replicas: shared.Replicas = None,
    gpus_per_replica: shared.GpusPerReplica = None,
    log_json: shared.LogJson = False,
    dry_run: shared.DryRun = False,
) -> None:
    """Score every step of solutions with N votes."""
    from genprm.api import Verifier
    from genprm.engines import Sampling, resolve_engine
    from genprm.engines.sampling import check
    from genprm.records import read_solutions
    from genprm.scorers.opening import is_discriminative

    if is_discriminative(model, scorer):
        from genprm.cli import scoring

        scoring.check_options(context)
        if dry_run:
            scoring.plan(model, scorer, read_solutions(source, limit=limit), out)
            return
        scoring.run(model, scorer, read_solutions(source, limit=limit), out, console.err(), extent={"limit": limit})
        return
    resolve_engine(engine)
    sampling = Sampling(temperature, top_p, top_k)
    check(sampling)
    loaded = read_solutions(source, limit=limit)
    cluster, options = shared.cluster_of(ray, replicas, gpus_per_replica), shared.options_of(engine_option or ())

    def verifier_of(chosen: Any, mode: Any) -> Verifier:
        return Verifier(
            model, votes=votes, engine=chosen, sandbox=sandbox, seed=seed, vote_rule=vote_rule, settle=settle,
            settings=settings_of(mode, not no_execute, prompt_style, read_out, history), risk=risk, sampling=sampling,
            concurrency=max_in_flight, ray=cluster, engine_options=options if isinstance(chosen, str) else {},
        )  # fmt: skip

    if mode == "cascade":
        from genprm.cascade import check_margin

        check_margin(margin)
    if mode == "cascade" and not dry_run:
        from genprm.cli import cascade

        found = cascade.run(
            verifier_of, engine, model, options, loaded, out, console.err(), margin=margin, extent={"limit": limit},
            spread=cluster is not None, log_json=log_json,
        )  # fmt: skip
        cascade.finish(console.out(), loaded, found)
        console.out().print(f"results in {out}", soft_wrap=True)
        return
    verifier = verifier_of(engine, "code" if mode == "cascade" else mode)
    if dry_run:
        plan(console.out(), loaded, verifier, out)
        if mode == "cascade":
            console.out().print("in cascade: modes direct and analyze first, and code for what they leave open")
        return
    summary = run(verifier, loaded, out, console.err(), extent={"limit": limit}, log_json=log_json)
    finish(console.out(), loaded, summary)
    console.out().print(f"results in {out}; genprm view {out} makes a page of them", soft_wrap=True)


def run(
    verifier: Verifier, loaded: Loaded, out: Path, to: Console, *, extent: dict[str, Any], log_json: bool = False
) -> Summary:
    """Verify into the run directory with a live display. Ctrl-C ends the program, saying how to continue."""
    from genprm.cli.progress import JsonLines, LiveDisplay

    console.log_to_stderr(as_json=log_json)
    for note in loaded.notes:
        to.print(Text(note), soft_wrap=True)
    with console.stoppable(out):
        verifier.prepare(out)
        with verifier:
            verifier.check(loaded, out)
            with JsonLines(to.file) if log_json else LiveDisplay(to) as display:
                display.prompt(verifier.first_prompt(loaded.solutions[0]), loaded.solutions[0].id)
                return verifier.verify_to_dir(loaded, out, on_progress=display.vote, extent=extent)


def finish(to: Console, loaded: Loaded, summary: Summary) -> None:
    """Print what the run found."""
    from genprm.cli.results import print_results

    if summary.reused:
        done = (
            "all of them, so none was left to do" if summary.reused == summary.metrics["votes"] else "the rest is new"
        )
        to.print(f"{summary.reused} votes were finished before: {done}", soft_wrap=True)
    print_results(to, loaded.solutions, summary.items, summary.metrics)


def plan(to: Console, loaded: Loaded, verifier: Verifier, out: Path) -> None:
    """What a run would do."""
    steps = sum(len(solution.steps) for solution in loaded.solutions)
    settings = verifier.settings
    state = shared.state_of(out, "verify")
    for line in (
        *loaded.notes,
        f"{len(loaded.solutions)} solutions with {steps} steps from {loaded.source}",
        f"{verifier.votes} votes each: {len(loaded.solutions) * verifier.votes} votes, "
        f"up to {steps * verifier.votes} rationales of at most {settings.step_budget} tokens",
        estimate(steps * verifier.votes, settings.mode, out),
        f"model {verifier.model}, mode {settings.mode}{'' if settings.execute else ' without execution'}, "
        f"temperature {verifier.sampling.temperature:g}, seed {verifier.seed}",
        *([] if verifier.ray is None else [f"replicas on the Ray cluster '{verifier.ray.address}'"]),
        f"run directory {out} {state}",
        "dry run: nothing was loaded or written",
    ):
        to.print(Text(line), soft_wrap=True)


PUBLISHED_TOKENS = 345
"""Of a rationale of GenPRM with code on MATH (paper, table 9)."""


def estimate(rationales: int, mode: str, out: Path) -> str:
    """How much a run would generate, and how long that takes if the folder holds a run that tells the speed."""
    from genprm.runs.directory import read_metrics

    metrics = read_metrics(out)
    counted = metrics.get("steps")
    steps = sum(counted.get(name, 0) for name in ("judged", "failed")) if isinstance(counted, dict) else 0
    if not steps and mode != "code":
        return f"how many tokens mode {mode} takes is known once some of it has been run"
    if not steps:
        tokens = rationales * PUBLISHED_TOKENS
        return f"about {tokens:,} tokens, were it the published model on MATH ({PUBLISHED_TOKENS} a rationale)"
    tokens = round(rationales * metrics["tokens"] / steps)
    line = f"about {tokens:,} tokens at the {metrics['tokens'] / steps:.0f} a rationale of the run there"
    speed = (metrics.get("timing") or {}).get("tokens_per_s")
    return line if not speed else f"{line}, {tokens / speed / 60:,.1f} minutes at its {speed:,.0f} tokens/s"


def settings_of(mode: Any, execute: bool, prompt_style: Any, read_out: Any, history: str) -> Settings:
    """How a step is judged. Raises ``InputError`` for a history that is none."""
    from genprm.rationale.dialogue import Settings

    kept = re.fullmatch(r"full|judgements|last-(\d+)", history)
    if kept is None:
        raise InputError(f"--history is '{history}'; it must be full, judgements or last-K, such as last-2")
    settings = Settings(mode=mode, execute=execute, prompt_style=prompt_style, read_out=read_out)
    if kept[1] is not None:
        return replace(settings, history="last-k", last_k=int(kept[1]))
    return replace(settings, history="full" if history == "full" else "judgements")
