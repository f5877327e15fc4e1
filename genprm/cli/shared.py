"""Options that several commands have, declared once, and what is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml

from genprm.errors import InputError

if TYPE_CHECKING:
    from genprm.runs.ray import RayCluster

Out = Annotated[Path, typer.Option(help="Run directory; an earlier run of the same settings is continued.")]
Seed = Annotated[int, typer.Option(help="Seed of the run.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Progress on stderr as JSON lines.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; load and write nothing.")]

Engine = Annotated[str, typer.Option(help="What runs the models: auto, transformers, vllm or openai.")]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Of the engine, such as base_url=http://host:8000/v1."),
]
PolicyOption = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the policy's engine.")]
Sandbox = Annotated[Literal["auto", "docker", "local"], typer.Option(help="What runs the code that a model writes.")]
Style = Annotated[
    Literal["step-forced", "blank-lines", "trajectory"], typer.Option(help="How solutions are written and cut.")
]
Score = Annotated[Literal["min", "mean", "product", "last"], typer.Option(help="Of a solution, from its step rewards.")]

Ray = Annotated[
    str | None, typer.Option(metavar="local|ADDRESS", help="Spread the work over replicas on this Ray cluster.")
]
Replicas = Annotated[int | None, typer.Option(help="Engines, with --ray; default: as the GPUs allow.")]
GpusPerReplica = Annotated[
    int | None, typer.Option(help="With --ray; vllm splits the model over them. Default: 1 where there are any.")
]


def options_of(texts: Sequence[str], name: str = "--engine-option") -> dict[str, Any]:
    """``NAME=VALUE`` texts as a dictionary; values are read as YAML. ``name``: of the option, for complaints.

    Raises ``InputError`` for one without ``=``.
    """
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.isidentifier():
            raise InputError(f"{name} is '{text}'; it must be NAME=VALUE, such as context_length=4096")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{name} '{text}': the value is not valid YAML; quote it") from error
    return found


def state_of(out: Path, verb: str) -> str:
    """What a run directory is to a command, for its dry run. Raises ``InputError`` for one that it would refuse."""
    from genprm.runs.directory import require_verb

    return "continues the run there" if require_verb(out, verb) else "is new"


def cluster_of(address: str | None, replicas: int | None, gpus: int | None) -> RayCluster | None:
    """Where replicas run, if there are any. Raises ``InputError`` for replicas without a cluster."""
    from genprm.runs.ray import RayCluster

    if address is None and (replicas is not None or gpus is not None):
        raise InputError("--replicas and --gpus-per-replica need a cluster; add --ray local or --ray ADDRESS")
    return None if address is None else RayCluster(address, replicas, gpus)
