"""``genprm critique IN --out DIR``: the verifier criticises, a policy refines; the same command again continues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from genprm.cli import console, shared

if TYPE_CHECKING:
    from genprm.critique import Plan, Summary


def critique(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="IN", help="Solutions: JSONL file, hub:name[:config]:split, or - for stdin.")
    ],
    out: shared.Out,
    policy: Annotated[str, typer.Option(help="The model that refines: model folder or hub name.")],
    model: Annotated[str, typer.Option(help="The verifier.")] = "genprm-tiny",
    rounds: Annotated[int, typer.Option(help="Rounds of critique and refinement.")] = 3,
    votes: Annotated[int, typer.Option(help="Votes of the verifier on each solution.")] = 8,
    refinements: Annotated[int, typer.Option(help="New solutions to each critique; the verifier picks one.")] = 1,
    critic: Annotated[
        Literal["verifier", "index", "sham", "resample", "self", "oracle"],
        typer.Option(help="Whose critique: the verifier's, or a control (the README says what each shows)."),
    ] = "verifier",
    accept_if_better: Annotated[
        bool,
        typer.Option("--accept-if-better", help="Keep the old solution unless the new one scores higher."),
    ] = False,
    score: shared.Score = "min",
    engine: shared.Engine = "auto",
    engine_option: shared.EngineOption = None,
    policy_option: shared.PolicyOption = None,
    sandbox: shared.Sandbox = "auto",
    style: shared.Style = "step-forced",
    temperature: Annotated[float, typer.Option(help="Of the policy; the verifier's is 0.6.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Of the policy.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Of the policy; 0 keeps all tokens.")] = 20,
    max_tokens: Annotated[int, typer.Option(help="Of one refined solution.")] = 2048,
    seed: shared.Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Take the first N solutions.")] = None,
    ray: shared.Ray = None,
    replicas: shared.Replicas = None,
    gpus_per_replica: shared.GpusPerReplica = None,
    dry_run: shared.DryRun = False,
) -> None:
    """Criticise solutions with a verifier and have a policy refine them."""
    from genprm.api import Verifier
    from genprm.critique import CRITICS, Plan
    from genprm.critique import check as check_given
    from genprm.critique import critique as run
    from genprm.engines import Sampling, replica_options, resolve_engine
    from genprm.engines.sampling import check
    from genprm.errors import InputError
    from genprm.records import read_solutions
    from genprm.rollout import Settings
    from genprm.rollout.opening import Opening

    resolve_engine(engine)
    sampling = Sampling(temperature, top_p, top_k)
    check(sampling)
    plan = Plan(rounds, refinements, critic, accept_if_better, score)
    if not plan.verifies_last and console.is_given(context, "score") and not (out / "config.yaml").exists():
        raise InputError("--score decides between solutions: add --refinements 2 or more, or --accept-if-better")
    cluster = shared.cluster_of(ray, replicas, gpus_per_replica)
    loaded = read_solutions(source, limit=limit)
    verifier = Verifier(
        model, votes=votes, engine=engine, sandbox=sandbox, seed=seed, ray=cluster,
        engine_options=shared.options_of(engine_option or ()),
    )  # fmt: skip
    options: dict[str, Any] = shared.options_of(policy_option or (), "--policy-option")
    writer = Opening(
        policy, engine, Settings(style, None, max_tokens), sampling, seed,
        engine_options=replica_options(engine, options, gpus_per_replica),
    )  # fmt: skip
    check_given(loaded, plan)
    if dry_run:
        for line in (
            *loaded.notes,
            f"{len(loaded.solutions)} solutions from {loaded.source}, {votes} votes each",
            f"at most {rounds} rounds with {refinements} new solutions to each critique: at most "
            f"{len(loaded.solutions) * rounds * refinements} solutions written",
            f"critic {critic}: {CRITICS[plan.critic]}; verifier {model}, policy {policy}, seed {seed}",
            f"run directory {out} {shared.state_of(out, 'critique')}",
            "dry run: nothing was loaded or written",
        ):
            console.out().print(Text(line), soft_wrap=True)
        return
    console.log_to_stderr()
    to = console.err()
    with console.stoppable(out):
        found = run(loaded, out, verifier, writer, plan, ray=cluster, on_stage=lambda line: to.print(Text(line)))
    _print(found, plan)


def _print(found: Summary, plan: Plan) -> None:
    to = console.out()
    grid = console.grid(
        "round", "right", "criticised", "right ones", "became right", "became wrong", "policy tokens",
        "verifier tokens",
    )  # fmt: skip
    for one in found.rounds:
        share = f"{100 * one.right / one.answered:.1f} %" if one.answered else "–"
        grid.add_row(
            str(one.number), share, str(one.criticised), str(one.false_alarms), str(one.wrong_to_right),
            str(one.right_to_wrong), f"{one.policy_tokens:,}", f"{one.verifier_tokens:,}",
        )  # fmt: skip
    to.print(grid)
    if invalid := sum(one.invalid for one in found.rounds):
        to.print(
            f"{invalid} times a new solution was invalid (why: 'reason' in refinements.jsonl): the old one stands",
            soft_wrap=True,
        )
    alarms, lost = sum(one.false_alarms for one in found.rounds), sum(one.right_to_wrong for one in found.rounds)
    if alarms:
        advice = ": --accept-if-better keeps a solution unless the verifier scores the new one higher"
        to.print(
            f"{alarms} times a solution with the right answer was criticised (falsely if its steps are right too), and "
            f"{lost} times one became wrong{'' if plan.accept_if_better else advice}",
            soft_wrap=True,
        )
    to.print(f"refined solutions in {found.path / 'refined.jsonl'}", soft_wrap=True)
