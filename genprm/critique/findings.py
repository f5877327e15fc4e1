"""What a critic says of a solution: a step, and words about it. Pure.

The verifier's index is the first step whose mean reward is below 0.5, and its words are the analysis of the vote that
lies nearest that mean (GenPRM, section 4.3: code and output are left out). The other critics are controls, which show
what of a gain the index, the words, or another try alone account for.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genprm.rationale.grammar import parse
from genprm.types import Solution, Verification, Vote

Critic = Literal["verifier", "index", "sham", "resample", "self", "oracle"]
CRITICS: Mapping[Critic, str] = {
    "verifier": "the verifier's step with the verifier's words",
    "index": "the verifier's step without words",
    "sham": "another step, with what the verifier said of another solution",
    "resample": "nothing: the policy starts anew where the verifier found an error",
    "self": "the step that the policy itself names, without words",
    "oracle": "the step that the record's label names, without words",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to be said of a solution."""

    step: int
    """0-based."""
    words: str
    quoted: bool = True
    """False where the policy is told nothing and starts anew."""


def of_verifier(verification: Verification, votes: Sequence[Vote]) -> Finding | None:
    """What the verifier says; ``None`` where it accepts the solution, or cannot tell."""
    step = verification.predicted_label
    if step is None or step < 0:
        return None
    mean = verification.rewards[step]
    judged = [verdict for vote in votes if (verdict := vote.steps[step]).status == "judged"]
    nearest = min(judged, key=lambda verdict: abs((verdict.reward or 0.0) - (mean or 0.0)))
    return Finding(step, (parse(nearest.rationale).rationale.analysis or "").strip())


def of_label(solution: Solution) -> Finding | None:
    """What the label says; ``None`` without an error or without a label."""
    return None if solution.label is None or solution.label < 0 else Finding(solution.label, "")


def controlled(
    critic: Critic, found: Mapping[str, Finding], solutions: Mapping[str, Solution], seed: int
) -> dict[str, Finding]:
    """The verifier's findings (by id) as a control has them. Every draw depends on (seed, id) alone, given them."""
    if critic == "index":
        return {name: Finding(one.step, "") for name, one in found.items()}
    if critic == "resample":
        return {name: Finding(one.step, "", quoted=False) for name, one in found.items()}
    if critic == "sham":
        return {name: _sham(name, found, solutions[name], seed) for name in found}
    return dict(found)


def _sham(name: str, found: Mapping[str, Finding], solution: Solution, seed: int) -> Finding:
    """Without another step the same one, and without another criticised solution no words."""
    rng = random.Random(f"sham {seed} {name}")
    steps = [step for step in range(len(solution.steps)) if step != found[name].step] or [found[name].step]
    others = [one.words for other, one in sorted(found.items()) if other != name]
    return Finding(rng.choice(steps), rng.choice(others) if others else "")
