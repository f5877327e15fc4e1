"""genprm: generative process reward models, to verify, curate, train, use and evaluate.

    with Verifier(model="genprm-tiny", votes=8) as verifier:
        result = verifier.verify(Solution(problem="...", steps=["...", "..."]))

Importing this package does no work: ``Verifier`` and everything behind it load at their first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genprm.errors import (
    EngineUnavailable,
    GenPRMError,
    IdentityError,
    InputError,
    MissingDependency,
    ModelError,
    RecipeError,
    RecordError,
    SandboxUnavailable,
)
from genprm.types import CodeRun, Scores, Solution, StepVerdict, Verification, Vote

if TYPE_CHECKING:
    from genprm.api import Verifier
    from genprm.records import read_solutions
    from genprm.runs.ray import RayCluster

__all__ = [
    "CodeRun",
    "EngineUnavailable",
    "GenPRMError",
    "IdentityError",
    "InputError",
    "MissingDependency",
    "ModelError",
    "RayCluster",
    "RecipeError",
    "RecordError",
    "SandboxUnavailable",
    "Scores",
    "Solution",
    "StepVerdict",
    "Verification",
    "Verifier",
    "Vote",
    "read_solutions",
]


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that importing genprm stays free of work.
    if name == "Verifier":
        from genprm.api import Verifier

        return Verifier
    if name == "read_solutions":
        from genprm.records import read_solutions

        return read_solutions
    if name == "RayCluster":
        from genprm.runs.ray import RayCluster

        return RayCluster
    raise AttributeError(f"module 'genprm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
