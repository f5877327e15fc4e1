"""The values that travel between the rooms of genprm: frozen, typed, without behaviour beyond their own consistency.

Steps are counted from 0, as in ProcessBench. Rewards are P(Yes) in [0, 1]; ``None`` means "not known" and is
never replaced by a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Author = Literal["template", "user", "harness", "model", "code"]
Mode = Literal["direct", "analyze", "code-only", "code"]
Judgement = Literal["Yes", "No"]
StepStatus = Literal["judged", "failed", "not_run"]
Failure = Literal["no_judgement", "budget", "context", "engine", "sandbox"]
ExecutionStatus = Literal["ok", "error", "timeout", "oom", "output_limit", "crashed"]
Settled = Literal["all", "labels", "first-error", "risk"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a dialogue with the author who wrote it.

    Only ``template`` segments may yield special tokens; only ``model`` segments are trained on. A segment boundary
    is a token boundary. ``ids`` holds the token ids an engine really produced for ``text`` (empty: encode the text).
    """

    author: Author
    text: str
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem to be solved, with its reference answer."""

    id: str
    problem: str
    answer: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Unknown fields of the record, carried through untouched."""


@dataclass(frozen=True, slots=True)
class Solution:
    """One solution record: a problem and the steps of one attempt at it."""

    problem: str
    steps: tuple[str, ...]
    id: str = ""
    problem_id: str | None = None
    generator: str | None = None
    answer: str | None = None
    """Reference answer of the problem."""
    predicted_answer: str | None = None
    """What this solution concludes."""
    final_answer_correct: bool | None = None
    label: int | None = None
    """0-based index of the first wrong step, -1 for none, ``None`` when unknown."""
    reward: float | tuple[float | None, ...] | None = None
    """Of the whole, or of each step (``None``: not judged)."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Unknown fields of the record, carried through untouched."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))


@dataclass(frozen=True, slots=True)
class CodeRun:
    """One code block of a rationale as it was run."""

    source: str
    status: str
    """An ``ExecutionStatus``; ``not_run`` where execution was switched off; ``no_code`` where no block was found."""
    output: str
    """The text spliced into the rationale."""


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """What one vote says of one step."""

    status: StepStatus
    mode: Mode
    reward: float | None = None
    p_yes: float | None = None
    p_no: float | None = None
    judgement: Judgement | None = None
    rationale: str = ""
    code: tuple[CodeRun, ...] = ()
    tokens: int = 0
    """(last prompt + generated) - first prompt of the step, so spliced output counts."""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """One independent chain of rationales over a whole solution."""

    key: str
    id: str
    vote: int
    seed: int
    steps: tuple[StepVerdict, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """A solution's score under each aggregation of its step rewards; ``None`` if any step has none."""

    min: float | None
    mean: float | None
    product: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class Verification:
    """All votes on one solution, aggregated."""

    id: str
    rewards: tuple[float | None, ...]
    status: tuple[StepStatus, ...]
    predicted_label: int | None
    """First step with reward below 0.5, else -1; ``None`` if a failed step comes before that."""
    score: Scores
    settled: Settled | None
    """What further votes cannot change; ``None`` while some are owed."""
    votes: tuple[Vote, ...]
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rollout:
    """Completions sampled from one prefix of a solution, counted.

    ``correct`` of ``total`` reach the reference answer. ``invalid`` of ``total`` ended without an answer that can be
    read; they count as not correct, and stay known. Counts are kept, never only their ratio.
    """

    key: str
    id: str
    """Of the solution; of the problem where ``step`` is -1."""
    problem_id: str
    step: int
    """The prefix is steps 0..step; -1 is the problem alone, whose share is Pass@1 of the completion model. The last
    step is not rolled out: its total is 1, and correct says whether the solution's own answer is right."""
    policy: str
    """The model that completes."""
    k: int
    """Completions asked for."""
    correct: int
    total: int
    invalid: int
    seed: int
    rule: str | None = None
    """The label rule under which sampling stopped early; such counts are biased for every other rule."""
    tokens: int = 0
    """Tokens generated."""
    shared: str | None = None
    """The solution for which the completions were made, where this one begins with the same text; no tokens then."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of all steps of one solution under one rule."""

    id: str
    rule: str
    parameters: Mapping[str, float]
    values: tuple[float | None, ...]
    """One a step; ``None``: the rule cannot tell (unsettled)."""
    counts: tuple[tuple[int, int], ...] = ()
    """(correct, total) of each step that the values come from."""
