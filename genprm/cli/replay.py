"""``genprm replay DIR --id ID``: one step of a finished vote again, with another code output or another text.

    genprm replay runs/a --id x --vote 0 --step 1 --output False
    genprm replay runs/a --id x --vote 0 --step 1 --text "So 3 + 4 = 8."

What the vote wrote up to its last code output stands; each output that the code printed becomes ``--output`` (without
it, the step is repeated as it was), and the model goes on from there. With ``--text`` or ``--problem`` the step or the
problem is another, and the model writes the whole step anew. The run directory is not changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from genprm.cli import console, shared
from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.engines import Engine
    from genprm.types import Solution, StepVerdict, Vote


def replay(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory of genprm verify.")],
    id: Annotated[str, typer.Option("--id", help="Id of the solution.")],
    vote: Annotated[int, typer.Option(help="Index of the vote.")] = 0,
    step: Annotated[int, typer.Option(help="Index of the step, from 0.")] = 0,
    output: Annotated[str | None, typer.Option(help="What every code run of the step shall have printed.")] = None,
    text: Annotated[str | None, typer.Option(help="What the step shall say.")] = None,
    problem: Annotated[str | None, typer.Option(help="What the problem shall say.")] = None,
    model: Annotated[str | None, typer.Option(help="Another place of the model, if it has moved.")] = None,
    engine_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the engine, as the run had them.")
    ] = None,
) -> None:
    """Judge one step again with another code output or another text."""
    from genprm.runs.configuration import Configuration

    if not (run / "config.yaml").exists():
        raise InputError(f"{run} is no run directory (it has no config.yaml); give one that genprm verify made")
    configuration = Configuration.read(run / "config.yaml")
    if configuration.identity.get("mode") == "cascade":
        raise InputError(f"{run} holds a cascade; give the folder of the mode, such as {run / 'code'}")
    if configuration.verb != "verify":
        raise InputError(f"{run} holds a run of 'genprm {configuration.verb}'; only those of verify can be replayed")
    options = shared.options_of(engine_option or ())
    anew = text is not None or problem is not None
    if anew and output is not None:
        raise InputError(
            "--output edits what the stored code printed, and with --text or --problem nothing of it stands"
        )
    solution, stored = _find(run, id, vote)
    if anew:
        if (text is not None and not text.strip()) or (problem is not None and not problem.strip()):
            raise InputError("--text and --problem must say something; leave out what shall stay")
        steps = [text if text is not None and n == step else old for n, old in enumerate(solution.steps)]
        solution = replace(solution, problem=problem or solution.problem, steps=tuple(steps))
    verdict = asyncio.run(
        _again(configuration.identity, solution, stored, step, output, model, anew=anew, options=options)
    )
    swapped = [name for name, new in (("code output", output), ("step", text), ("problem", problem)) if new is not None]
    as_what = f"with another {' and another '.join(swapped)}" if swapped else "as it was"
    to = console.out()
    to.print(Text(console.printable(f"step {step} of vote {vote} of {id}, {as_what}:")), soft_wrap=True)
    show(to, stored.steps[step], verdict)


def show(to: Console, before: StepVerdict, after: StepVerdict) -> None:
    """The new rationale, and both judgements."""

    to.print(Text(console.printable(after.rationale)), soft_wrap=True)
    for name, verdict in (("before", before), ("now", after)):
        said = verdict.judgement or verdict.failure or verdict.status
        to.print(Text.assemble(f"{name:6}  {said:5}  reward ", console.reward(verdict.reward)))


def _find(run: Path, id: str, index: int) -> tuple[Solution, Vote]:
    from genprm.records.lines import read_lines
    from genprm.records.results import read_votes
    from genprm.records.solutions import solution_from_dict

    solutions = (solution_from_dict(record) for _, record in read_lines(run / "solutions.jsonl"))
    solution = next((one for one in solutions if one.id == id), None)
    if solution is None:
        raise InputError(f"{run} holds no solution '{id}'; its ids are in solutions.jsonl")
    for vote in read_votes(run / "votes.jsonl").get(id, ()):
        if vote.vote == index:
            return solution, vote
    raise InputError(f"{run} holds no finished vote {index} of '{id}'; votes count from 0")


def _differs(identity: Mapping[str, Any], engine: Engine) -> str:
    """What of the run's engine is otherwise here, as words; empty if nothing is."""
    here = {**engine.identity, "context_length": engine.context_length}
    there = {**identity["engine"], "context_length": identity["context_length"]}
    names = [name for name in ("revision", "dtype", "context_length") if there.get(name) != here.get(name)]
    return ", ".join(f"{name} was {there.get(name)}, here it is {here.get(name)}" for name in names)


async def _again(
    identity: Mapping[str, Any],
    solution: Solution,
    vote: Vote,
    step: int,
    output: str | None,
    model: str | None,
    *,
    anew: bool,
    options: Mapping[str, Any] | None = None,
) -> StepVerdict:
    from genprm import engines, execution, resources
    from genprm.rationale.settings import Settings
    from genprm.verify.replay import replay_step

    settings = Settings(**{field.name: identity[field.name] for field in fields(Settings)})
    name = resources.model(model or identity["engine"]["model"])
    engine = engines.open_engine(identity["engine"]["engine"], name, **(options or {}))
    if changed := _differs(identity, engine):
        console.err().print(f"the run's {changed}: the model may say something else", soft_wrap=True)
    # Code that the model writes beyond the stored rounds runs as it did in the run.
    limits = dict(identity["sandbox"])
    kind, image = limits.pop("kind"), limits.pop("image", None)
    sandbox = None if kind == "none" else execution.open_sandbox(kind, **limits)
    if sandbox is not None and sandbox.identity.get("image") != image:
        console.err().print(f"the run used the image {image}, which is not the one here: code may print something else")
    try:
        return await replay_step(
            solution, vote, step, engine=engine, settings=settings, sandbox=sandbox,
            sampling=engines.Sampling(**identity["sampling"]),
            edit_output=None if output is None else lambda _: f"{output}\n", anew=anew,
        )  # fmt: skip
    finally:
        if sandbox is not None:
            await sandbox.aclose()
        await engine.aclose()
