"""What a recipe would cost, from its own numbers alone: no data, no model, no network. Pure.

Counts are exact where the recipe fixes them; tokens are the recipe's mean, and a completion has half a solution to
write. Time is tokens over a throughput that the caller states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from genprm.recipes import DataPlan, Recipe, Stage
from genprm.rollout.amounts import Amounts
from genprm.rollout.estimate import STEPS

RATIONALE_TOKENS = 345
"""Of GenPRM on MATH (paper, table 9)."""
JUDGE_TOKENS = 1500
"""Of a judge's answer, by assumption."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage in numbers."""

    name: str
    verb: str
    what: str
    tokens: int | None
    """``None`` where the stage generates nothing, or the recipe does not tell."""

    def hours(self, tokens_per_s: float) -> float | None:
        """GPU hours at so many tokens a second on each GPU."""
        return None if self.tokens is None else self.tokens / tokens_per_s / 3600


def plan(recipe: Recipe, limit: int | None = None) -> list[StagePlan]:
    """The stages of a recipe in numbers; ``limit``: of the problems."""
    kept: dict[str, int] = {}
    plans = []
    for stage in recipe.stages:
        data = stage.data or recipe.data or DataPlan(name="unknown", rows=0, mean_tokens=0)
        rows = min(data.rows, limit) if limit is not None else data.rows
        if stage.verb == "rollout":
            given = next(
                (n for name, n in kept.items() if f"{{{name}}}/selected" in str(stage.options.get("in"))), None
            )
            kept[stage.name] = given or rows * int(stage.options.get("keep", 4))
            plans.append(_rollout(stage, rows, given, data))
        elif stage.verb == "curate":
            plans.append(_curate(stage, kept.get(stage.source or "", rows), data))
        else:
            kept[stage.name] = kept.get(stage.source or "", rows)
            plans.append(StagePlan(stage.name, stage.verb, "not estimated", None))
        if stage.until is not None:
            rounds = f"; one round of up to {stage.until.rounds}, until {stage.until.kept:,} are kept"
            plans[-1] = replace(plans[-1], what=plans[-1].what + rounds)
    return plans


def _rollout(stage: Stage, problems: int, given: int | None, data: DataPlan) -> StagePlan:
    """``given``: solutions that an earlier stage kept, where this one only completes them."""
    options, steps = stage.options, data.steps or STEPS
    samples = 0 if given else problems * int(options.get("samples", 32))
    kept = given or problems * int(options.get("keep", 4))
    k = _amounts(options)
    completions = problems * k.of_problem + kept * (steps - 1) * k.medium
    tokens = samples * data.mean_tokens + completions * data.mean_tokens / 2
    sampled = f"{kept:,} solutions given" if given else f"{samples:,} samples at first, {kept:,} solutions kept"
    what = f"{problems:,} problems, {sampled}, about {completions:,} completions"
    return StagePlan(stage.name, stage.verb, what, round(tokens))


def _curate(stage: Stage, solutions: int, data: DataPlan) -> StagePlan:
    steps, asked, tokens = data.steps or STEPS, [], 0
    for name, each in (("annotator", steps * RATIONALE_TOKENS), ("judge", JUDGE_TOKENS)):
        use = stage.options.get(name)
        if isinstance(use, Mapping):
            samples = int(use.get("samples", 1))
            asked.append(f"{solutions * samples:,} questions to the {name}")
            tokens += solutions * samples * each
    what = f"{solutions:,} solutions at most; {', '.join(asked) or 'no model is asked'}"
    return StagePlan(stage.name, stage.verb, what, tokens or None)


def _amounts(options: Mapping[str, Any]) -> Amounts:
    parts = [int(part) for part in str(options.get("k_by_difficulty", options.get("k", 16))).split(",")]
    return Amounts(*parts) if len(parts) == 3 else Amounts.fixed(parts[0])
