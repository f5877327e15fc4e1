"""``genprm search IN --out DIR``: a policy writes, a scorer guides; the same command again continues the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from genprm.cli import console, shared
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.rollout import Given
    from genprm.search import Plan, Searcher, Summary

GENERATIVE = {"votes": "--votes", "sandbox": "--sandbox", "engine_option": "--engine-option"}
"""Options of a scorer that writes."""


def search(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="gsm8k, math, math500, amc23, aime24 or minerva (NAME:SPLIT for another split), or a JSONL file of "
            "problems, with or without answers; - for stdin.",
        ),
    ],
    out: shared.Out,
    policy: Annotated[str, typer.Option(help="The model that writes: model folder or hub name.")],
    model: Annotated[str, typer.Option(help="The scorer: a verifier, or a discriminative model.")] = "genprm-tiny",
    scorer: Annotated[
        str,
        typer.Option(
            help="How the scorer is read: generative, math-shepherd, er-prm, rlhflow, qwen-prm; auto: as its "
            "folder says."
        ),
    ] = "auto",
    strategy: Annotated[
        Literal["best-of-n", "weighted", "beam", "dvts", "resample"],
        typer.Option(
            help="The highest score; the answer of the largest sum of scores; step by step the best prefixes, "
            "of all or of each subtree; each step again while it is too low."
        ),
    ] = "best-of-n",
    n: Annotated[int, typer.Option("--n", help="Draws beside each other: solutions, or steps of beam and dvts.")] = 8,
    branch: Annotated[int, typer.Option(help="beam, dvts: draws behind each prefix; n/branch prefixes go on.")] = 4,
    tries: Annotated[int, typer.Option(help="resample: draws of one step at most.")] = 4,
    threshold: Annotated[float, typer.Option(help="resample: a step of this reward is good enough.")] = 0.5,
    score: shared.Score = "min",
    budget: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS",
            help="Of policy and scorer for a problem; once spent, the best of the finished solutions is taken.",
        ),
    ] = None,
    votes: Annotated[int, typer.Option(help="Votes of a generative scorer on each step.")] = 1,
    engine: shared.Engine = "auto",
    engine_option: shared.EngineOption = None,
    policy_option: shared.PolicyOption = None,
    sandbox: shared.Sandbox = "auto",
    style: shared.Style = "step-forced",
    temperature: Annotated[float, typer.Option(help="Of the policy; 0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Of the policy.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Of the policy; 0 keeps all tokens.")] = 0,
    max_tokens: Annotated[int, typer.Option(help="Of one solution.")] = 2048,
    seed: shared.Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Take the first N problems.")] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(help="Most problems at work at once (with --ray, in each replica).")
    ] = None,
    ray: shared.Ray = None,
    replicas: shared.Replicas = None,
    gpus_per_replica: shared.GpusPerReplica = None,
    log_json: shared.LogJson = False,
    dry_run: shared.DryRun = False,
) -> None:
    """Solve problems by search: best-of-n, beam, dvts and others."""
    from genprm.engines import Sampling, replica_options, resolve_engine
    from genprm.engines.sampling import check
    from genprm.rollout import Settings
    from genprm.scorers.opening import is_discriminative
    from genprm.search import Plan, Searcher, read_problems

    resolve_engine(engine)
    sampling = Sampling(temperature, top_p, top_k)
    check(sampling)
    plan = Plan(strategy, n, branch, tries, threshold, score, budget)
    _refuse_unused(context, plan)
    options: dict[str, Any] = {}
    if is_discriminative(model, scorer):
        _refuse(context)
    else:
        options = {"votes": votes, "engine": engine, "sandbox": sandbox, "seed": seed}
        options["engine_options"] = replica_options(engine, shared.options_of(engine_option or ()), gpus_per_replica)
    searcher = Searcher(
        policy, scorer=model, kind=scorer, plan=plan, engine=engine, settings=Settings(style, None, max_tokens),
        sampling=sampling, seed=seed, concurrency=max_in_flight, ray=shared.cluster_of(ray, replicas, gpus_per_replica),
        engine_options=shared.options_of(policy_option or (), "--policy-option"), scorer_options=options,
    )  # fmt: skip
    given = read_problems(source, limit=limit)
    if dry_run:
        _dry_run(given, plan, out, f"policy {policy}, scorer {model}{f' with {votes} votes' if options else ''}", seed)
        return
    summary = run(searcher, given, out, console.err(), extent={"limit": limit}, log_json=log_json)
    finish(console.out(), summary)


def _refuse_unused(context: typer.Context, plan: Plan) -> None:
    """Raises ``InputError`` for sizes that the strategy does not look at."""
    unused = {"branch", "tries", "threshold"} - plan.identity().keys()
    if given := [f"--{name}" for name in sorted(unused) if console.is_given(context, name)]:
        raise InputError(f"--strategy {plan.strategy} does not look at {' and '.join(given)}; leave it out")


def _refuse(context: typer.Context) -> None:
    """Raises ``InputError`` for options of a scorer that writes, where one reads."""
    if given := [said for name, said in GENERATIVE.items() if console.is_given(context, name)]:
        raise InputError(
            f"a discriminative scorer has no votes, code or engine: leave out {', '.join(given)}, or say --scorer "
            "generative"
        )


def run(
    searcher: Searcher, given: Given, out: Path, to: Console, *, extent: dict[str, Any], log_json: bool = False
) -> Summary:
    """Search into the run directory with a live display. Ctrl-C ends the program, saying how to continue."""
    from genprm.cli.search_progress import SearchDisplay, SearchJson

    console.log_to_stderr(as_json=log_json)
    for note in given.notes:
        to.print(Text(note), soft_wrap=True)
    with console.stoppable(out), SearchJson(to.file) if log_json else SearchDisplay(to) as display:
        return searcher.run(given, out, on_prompt=display.prompt, on_progress=display.result, extent=extent)


def finish(to: Console, summary: Summary) -> None:
    """Print what the run found."""
    metrics, tokens, shown = summary.metrics, summary.metrics["tokens"], summary.metrics["accuracy"]
    lines = [f"{summary.reused} problems were searched before"] if summary.reused else []
    if shown is not None:
        lines.append(
            f"{metrics['right']} of {metrics['with_reference']} problems are right: {shown['value']:.1f} % "
            f"[{shown['low']:.1f}, {shown['high']:.1f}]"
        )
    lines.append(f"{metrics['answered']} of {metrics['problems']} problems have an answer")
    lines.append(
        f"{tokens['policy']:,} tokens of the policy and {tokens['scorer']:,} of the scorer, "
        f"{tokens['per_problem']:,.0f} a problem"
    )
    if metrics["stopped_by_budget"]:
        empty = sum(one.stopped == "budget" and not one.candidates for one in summary.found)
        nothing = f", {empty} of them before a solution was finished" if empty else ""
        lines.append(f"the budget ended {metrics['stopped_by_budget']} searches{nothing}")
    answers = f"answers in {summary.path / 'items.jsonl'}"
    if any(one.candidates for one in summary.found):
        answers += f"; genprm evaluate best-of-n {summary.path / 'candidates'}"
    lines.append(answers)
    for line in lines:
        to.print(Text(line), soft_wrap=True)


def _dry_run(given: Given, plan: Plan, out: Path, models: str, seed: int) -> None:
    from genprm.search import STRATEGIES

    state = shared.state_of(out, "search")
    sizes = f"{plan.n} solutions at most"
    if plan.grows_trees:
        sizes = f"{plan.trees} trees, {plan.width} prefixes of each go on, {plan.branch} draws behind each"
    elif plan.strategy == "resample":
        sizes = f"{plan.n} solutions, {plan.tries} draws of each step at most, reward {plan.threshold:g} is good enough"
    for line in (
        *given.notes,
        f"{len(given.problems)} problems from {given.source}, "
        f"{sum(bool(one.answer) for one in given.problems)} with a reference answer",
        f"{plan.strategy}: {STRATEGIES[plan.strategy]}; {sizes}",
        "no budget" if plan.budget is None else f"{plan.budget:,} tokens for each problem",
        f"{models}, seed {seed}",
        f"run directory {out} {state}",
        "dry run: nothing was loaded or written",
    ):
        console.out().print(Text(line), soft_wrap=True)
