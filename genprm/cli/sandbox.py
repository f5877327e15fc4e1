"""``genprm sandbox``: the image that code runs in, attacks on it, and how fast it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from genprm.cli import console

if TYPE_CHECKING:
    from rich.console import Console

    from genprm.execution import Sandbox
    from genprm.execution.attacks import Attack
    from genprm.execution.attacks.arena import Attackable, Outcome
    from genprm.execution.bench import Latency, Row

sandbox = typer.Typer(help="The sandbox: its image, attacks on it, its speed.")


@sandbox.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    console.help_without_verb(context)


@sandbox.command("build")
def build(
    from_host: Annotated[
        bool, typer.Option("--from-host", help="Out of this machine's Python, numpy and sympy; needs no registry.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also where it is there: runs of the old one end.")] = False,
) -> None:
    """Make the image of the docker sandbox, unless it is there."""
    from genprm.execution import daemon, image

    api = daemon.connect()
    try:
        with daemon.failures():
            built = None if again else image.existing(api, "host" if from_host else "registry")
            if built is None:
                built = image.build_from_host(api) if from_host else image.build(api)
    finally:
        api.close()
    console.out().print(f"{built.reference} {built.digest}", soft_wrap=True)


Kind = Annotated[Literal["docker", "local"], typer.Option("--sandbox", help="Which one.")]


@sandbox.command("doctor")
def doctor(
    kind: Kind = "docker",
    runtime: Annotated[str | None, typer.Option(help="Of the containers, such as runsc for gVisor.")] = None,
    only: Annotated[str, typer.Option(help="Families, numbers or names of attacks: T,M1,R4-vandal.")] = "",
) -> None:
    """Attack this machine's sandbox and print what survives."""
    from genprm.execution import doctor as examination

    to = console.out()
    attacks = examination.select(only)
    attackable = examination.open_for_attack(kind, runtime)
    for fact in examination.facts(attackable, runtime):
        remark = f"  ({fact.remark})" if fact.remark else ""
        to.print(Text.assemble((f"{fact.name:15}", "dim"), fact.value, (remark, "dim")), soft_wrap=True)
    outcomes = asyncio.run(_attack(attackable, attacks))
    _print_survival(to, outcomes)
    for name, meaning in examination.unclaimed(attackable).items():
        to.print(Text(f"not claimed, so not attacked: {name}: {meaning}"), soft_wrap=True)
    for sentence in examination.not_covered(attackable, runtime):
        to.print(Text(f"not covered: {sentence}", style="dim"), soft_wrap=True)
    if any(outcome.verdict == "breached" for outcome in outcomes):
        raise typer.Exit(1)


async def _attack(attackable: Attackable, attacks: list[Attack]) -> list[Outcome]:
    from genprm.execution.doctor import attacked

    outcomes = []
    with console.err().status("attacking") as status:
        async for outcome in attacked(attackable, attacks):
            outcomes.append(outcome)
            status.update(f"attacking: {len(outcomes)} of {len(attacks)} done, the last one was {outcome.attack.key}")
    return outcomes


def _print_survival(to: Console, outcomes: list[Outcome]) -> None:
    """The survival table, and what every breach was."""
    from genprm.execution.doctor import lines

    grid = console.grid("attack", "survived", "how")
    for line in lines(outcomes):
        held = len(line.started) - len(line.breaches)
        style = "red" if line.breaches else "green" if line.started else "dim"
        score = f"{held} of {len(line.started)}" if line.started else "not claimed"
        grid.add_row(line.id, Text(score, style=style), ", ".join(one.attack.name for one in line.outcomes))
    to.print(grid)
    for outcome in outcomes:
        for reason in outcome.reasons if outcome.verdict == "breached" else ():
            to.print(Text(f"{outcome.attack.key}: {console.printable(reason)}", style="red"), soft_wrap=True)
    counts = [sum(one.verdict == verdict for one in outcomes) for verdict in ("survived", "breached", "not claimed")]
    to.print(f"{counts[0]} survived, {counts[1]} breached, {counts[2]} not claimed")


@sandbox.command("bench")
def bench(kind: Kind = "docker") -> None:
    """Measure the sandbox against the other ways to run Python."""
    from genprm.execution import open_sandbox

    rows = asyncio.run(_measure(open_sandbox(kind)))
    grid = console.grid("", "print(1 + 1)", "p95", "sympy solve", "p95", "sympy/s")
    for row in rows:
        grid.add_row(row.way, *_milliseconds(row.trivial), *_milliseconds(row.solve), f"{row.solves_per_s:.1f}")
    console.out().print(grid)
    console.out().print("milliseconds, median and 95th percentile; sympy/s with all cores at work", style="dim")


async def _measure(chosen: Sandbox) -> list[Row]:
    from genprm.execution.bench import measure

    rows = []
    with console.err().status("measuring") as status:
        async for row in measure(chosen):
            rows.append(row)
            status.update(f"measuring; done: {', '.join(row.way for row in rows)}")
    return rows


def _milliseconds(latency: Latency) -> tuple[str, str]:
    return f"{latency.p50 * 1000:.1f}", f"{latency.p95 * 1000:.1f}"
