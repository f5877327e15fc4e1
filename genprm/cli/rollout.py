"""``genprm rollout IN --out DIR``: solutions and Monte Carlo values; the same command again continues the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from genprm.cli import console, shared
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.rollout import Given, Roller, Summary
    from genprm.rollout.amounts import Amounts

MOST = 4
"""Samples of a problem at most, in initial samples, unless stated."""
DEFAULT_K = 16


def rollout(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="gsm8k, math, math500, amc23, aime24 or minerva (NAME:SPLIT for another split), or a JSONL file of "
            "problems with answers, or of solutions (records with steps: nothing is sampled then); - for stdin.",
        ),
    ],
    out: shared.Out,
    model: Annotated[str, typer.Option(help="The policy, which writes solutions: model folder or hub name.")],
    completer: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that continues prefixes; default: the policy.")
    ] = None,
    engine: shared.Engine = "auto",
    engine_option: shared.EngineOption = None,
    style: shared.Style = "step-forced",
    system: Annotated[str | None, typer.Option(help="Another system turn; '' for none.")] = None,
    samples: Annotated[int, typer.Option(help="Solutions sampled for each problem at first.")] = 32,
    max_samples: Annotated[
        int | None, typer.Option(help=f"And at most, while too few are right or wrong; default: {MOST} times as many.")
    ] = None,
    keep: Annotated[int, typer.Option(help="Solutions kept of a problem, half of them right.")] = 4,
    difficulty: Annotated[
        Literal["medium", "all"], typer.Option(help="Problems that keep solutions: medium has right and wrong ones.")
    ] = "medium",
    k: Annotated[int | None, typer.Option(help=f"Completions of each prefix; default: {DEFAULT_K}.")] = None,
    k_by_difficulty: Annotated[
        str | None,
        typer.Option(metavar="HARD,MEDIUM,EASY", help="K by the completer's Pass@1: below 0.1, below 0.9, above."),
    ] = None,
    adaptive: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="Stop a prefix once its label under this rule is settled: hard or soft."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Share of the probability that is drawn from.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="0 keeps all tokens.")] = 0,
    max_tokens: Annotated[int, typer.Option(help="Of one solution or completion.")] = 2048,
    seed: shared.Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Take the first N records.")] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(help="Most completions at work at once (with --ray, in each replica).")
    ] = None,
    ray: shared.Ray = None,
    replicas: shared.Replicas = None,
    gpus_per_replica: shared.GpusPerReplica = None,
    log_json: shared.LogJson = False,
    dry_run: shared.DryRun = False,
) -> None:
    """Sample solutions and complete their prefixes, counted."""
    from genprm.engines import Sampling, resolve_engine
    from genprm.engines.sampling import check
    from genprm.rollout import Budget, Plan, Roller, Settings, read_given, rule_named

    resolve_engine(engine)
    sampling = Sampling(temperature, top_p, top_k)
    check(sampling)
    budget = Budget(
        samples, max(1, samples // 2), MOST * samples if max_samples is None else max_samples, keep,
        ("medium",) if difficulty == "medium" else ("easy", "medium", "hard"),
    )  # fmt: skip
    roller = Roller(
        model, completer=completer, engine=engine, engine_options=shared.options_of(engine_option or ()),
        plan=Plan(budget, amounts_of(k, k_by_difficulty), rule_named(adaptive)),
        settings=Settings(style, system, max_tokens), sampling=sampling, seed=seed, concurrency=max_in_flight,
        ray=shared.cluster_of(ray, replicas, gpus_per_replica),
    )  # fmt: skip
    given = read_given(source, limit=limit)
    if dry_run:
        plan(console.out(), given, roller, out)
        return
    summary = run(roller, given, out, console.err(), extent={"limit": limit}, log_json=log_json)
    finish(console.out(), summary)


def run(
    roller: Roller, given: Given, out: Path, to: Console, *, extent: dict[str, Any], log_json: bool = False
) -> Summary:
    """Roll out into the run directory with a live display. Ctrl-C ends the program, saying how to continue."""
    from genprm.cli.rollout_progress import RolloutDisplay, RolloutJson

    console.log_to_stderr(as_json=log_json)
    for note in given.notes:
        to.print(Text(note), soft_wrap=True)
    with console.stoppable(out), RolloutJson(to.file) if log_json else RolloutDisplay(to) as display:
        return roller.run(given, out, on_prompt=display.prompt, on_progress=display.result, extent=extent)


def finish(to: Console, summary: Summary) -> None:
    """Print what the run found."""
    metrics, done = summary.metrics, summary.metrics["completions"]
    samples = {name: count for name, count in metrics["samples"].items() if name != "tokens"}
    total = sum(count for name, count in done.items() if name != "tokens")
    if summary.reused:
        to.print(f"{summary.reused} samples and prefixes were finished before", soft_wrap=True)
    lines = [f"{metrics['problems']} problems, {len(summary.solutions)} solutions"]
    if samples:
        lines.append(f"samples: {_named(samples)}; difficulty of the problems: {_named(metrics['difficulties'])}")
    lines.append(f"{total} completions of {metrics['prefixes']} prefixes: {_named(done)}")
    if metrics["completions_saved"]:
        saved = f"{100 * metrics['share_saved']:.1f} %"
        lines.append(f"the stop rule saved {metrics['completions_saved']} completions ({saved})")
    lines.append(f"results in {summary.path}: selected.jsonl has the solutions, rollouts.jsonl the counts")
    for line in lines:
        to.print(Text(line), soft_wrap=True)


def plan(to: Console, given: Given, roller: Roller, out: Path) -> None:
    """What a run would do."""
    from genprm.rollout.estimate import STEPS, estimate

    cost, rule = estimate(given, roller.plan, roller.settings), roller.plan.rule
    state = shared.state_of(out, "rollout")
    lines = [*given.notes, f"{len(given.problems)} problems from {given.source}"]
    if given.solutions is None:
        lines += [
            f"{cost.samples_least} to {cost.samples_most} solutions sampled, at most {cost.solutions} kept",
            f"about {cost.prefixes} prefixes, if a solution has {STEPS} steps",
        ]
    else:
        lines.append(f"{cost.solutions} solutions with {cost.prefixes} prefixes to complete; nothing is sampled")
    ranged = f"{cost.completions_least} to {cost.completions_most}"
    if cost.completions_least == cost.completions_most:
        ranged = f"{cost.completions_most}"
    lines += [
        f"{ranged} completions{'' if rule is None else f', stopped by the rule {rule.name}'}, {cost.max_tokens} tokens "
        f"at most each: {cost.tokens_most:,} tokens at most with the samples",
        f"policy {roller.model}, completer {roller.completer}, style {roller.settings.style}, "
        f"temperature {roller.sampling.temperature:g}, seed {roller.seed}",
        *([] if roller.ray is None else [f"replicas on the Ray cluster '{roller.ray.address}'"]),
        f"run directory {out} {state}",
        "dry run: nothing was loaded or written",
    ]
    for line in lines:
        to.print(Text(line), soft_wrap=True)


def amounts_of(k: int | None, by_difficulty: str | None) -> Amounts:
    """K of a prefix. Raises ``InputError`` for both, or for what is not three numbers."""
    from genprm.rollout.amounts import Amounts

    if by_difficulty is None:
        return Amounts.fixed(DEFAULT_K if k is None else k)
    if k is not None:
        raise InputError("--k and --k-by-difficulty are both given; give one of them")
    parts = by_difficulty.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"--k-by-difficulty is '{by_difficulty}'; it must be three numbers, such as 128,64,32")
    return Amounts(*map(int, parts))


def _named(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
