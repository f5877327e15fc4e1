"""Which kind of training a recipe asks for, and its options."""

from __future__ import annotations

from pathlib import Path

from genprm.errors import RecipeError
from genprm.recipes import Options, Recipe, check
from genprm.stepformats import READABLE
from genprm.train.options.policies import GrpoTraining, RaftTraining
from genprm.train.options.rows import GenerativeTraining, StepTraining

RowTraining = GenerativeTraining | StepTraining
AnyTraining = RowTraining | RaftTraining | GrpoTraining
_KINDS: dict[str, type[Options]] = {
    "generative": GenerativeTraining, **dict.fromkeys(READABLE, StepTraining), "raft": RaftTraining,
    "grpo": GrpoTraining,
}  # fmt: skip


def training(recipe: Recipe, source: str | Path = "recipe") -> AnyTraining:
    """The options of the train stage. Raises ``RecipeError``."""
    stage = recipe.stage("train")
    kind = stage.options.get("kind", "generative")
    if kind not in _KINDS:
        raise RecipeError(f"{source}: training kind '{kind}' is unknown; known: {', '.join(_KINDS)}")
    found = check(_KINDS[kind], stage.options, f"{source}, stage '{stage.name}'")
    assert isinstance(found, GenerativeTraining | StepTraining | RaftTraining | GrpoTraining)
    return found
