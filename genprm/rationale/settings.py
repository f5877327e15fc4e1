"""What decides how one step is judged. Part of a run's identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genprm.errors import InputError
from genprm.prompts import PromptStyle
from genprm.rationale.history import History
from genprm.types import Mode


@dataclass(frozen=True, slots=True)
class Settings:
    """How one step is judged."""

    mode: Mode = "code"
    execute: bool = True
    """False: the model writes the code outputs itself (the published ablation)."""
    max_rounds: int = 3
    """Most code runs in one step."""
    step_budget: int = 2048
    """Tokens for one step: analysis, code and spliced outputs."""
    read_out: Literal["natural", "forced"] = "natural"
    """Probabilities after the ``\\boxed{`` that the model wrote, or after one that the harness writes."""
    prompt_style: PromptStyle = "chat"
    history: History = "full"
    last_k: int = 2
    """Turns shown in full under ``last-k``."""

    def __post_init__(self) -> None:
        for name, least in (("max_rounds", 1), ("step_budget", 1), ("last_k", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} is {value}; give at least {least}")
