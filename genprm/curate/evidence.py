"""A candidate: one solution with everything that was found out about it, as the filters see it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genprm.errors import InputError
from genprm.rationale.conflict import CodeVerdict
from genprm.rationale.grammar import Rationale
from genprm.types import Judgement, Solution


@dataclass(frozen=True, slots=True)
class Candidate:
    """One solution on its way into a training set. What is not known is left out, never made up.

    Every index is that of the first wrong step, counted from 0; -1 says that none is, None that it is not known.
    Raises ``InputError`` when a list does not fit the steps.
    """

    solution: Solution
    labels: tuple[int | None, ...] = ()
    """The hard Monte Carlo label of each step, 1 right and 0 wrong; None where the rule cannot tell. Or none at all."""
    values: tuple[float | None, ...] = ()
    """The soft target of each step in [0, 1], for training on values; the labels stand in where there are none."""
    rationales: tuple[Rationale, ...] = ()
    """The annotator's rationale for each of the first steps; it may stop at the first error."""
    votes: tuple[int | None, ...] = ()
    """The annotator's votes on the index; None for a vote that could not be read."""
    judge: int | None = None
    judge_votes: tuple[int | None, ...] = ()
    human: int | None = None
    siblings: int | None = None
    """The first step that other samples of the problem contradict, -1 for none (see ``curate.siblings``)."""
    siblings_sure: bool = False
    code: tuple[CodeVerdict, ...] = ()
    """For each rationale, whether its code agrees with its judgement."""
    tokens: tuple[int, ...] = ()
    """For each step, the tokens that its turns add to the conversation; the first step's include problem and system."""
    counts: tuple[tuple[int, int], ...] = ()
    """(correct, total) completions of the problem alone, then after each step."""
    agreed: int | None = None
    """The index that a consensus settled on."""

    def __post_init__(self) -> None:
        steps = len(self.solution.steps)
        for name, length in (("labels", len(self.labels)), ("values", len(self.values)), ("tokens", len(self.tokens))):
            if length not in (0, steps):
                raise self._error(f"{length} {name} for {steps} steps; give one a step, or none")
        if len(self.counts) not in (0, steps + 1):
            raise self._error(f"{len(self.counts)} counts for {steps} steps; give one a step and one before, or none")
        if len(self.rationales) > steps:
            raise self._error(f"{len(self.rationales)} rationales for {steps} steps; give one a step at most")
        if len(self.code) not in (0, len(self.rationales)):
            raise self._error(f"{len(self.code)} code verdicts for {len(self.rationales)} rationales; give one each")

    @property
    def id(self) -> str:
        return self.solution.id

    @property
    def problem_key(self) -> str:
        """What solutions of one problem have in common: the problem's id, else its text."""
        return self.solution.problem_id or self.solution.problem

    @property
    def first_error(self) -> int | None:
        """The index by the labels; None without labels, or where one before the first 0 is not known."""
        return first_zero(self.labels)

    @property
    def error(self) -> int | None:
        """The index to train on: what a consensus agreed on, else what the labels say."""
        return self.first_error if self.agreed is None else self.agreed

    @property
    def judgements(self) -> tuple[Judgement | None, ...]:
        """What the annotator wrote of each of the first steps."""
        return tuple(rationale.judgement for rationale in self.rationales)

    def cut(self, steps: int) -> Candidate:
        """The candidate without the steps from index ``steps`` on. Indices stay: they count from the front."""
        solution, reward = self.solution, self.solution.reward
        label = solution.label if solution.label is not None and solution.label < steps else None
        shorter = replace(
            solution,
            steps=solution.steps[:steps],
            reward=reward[:steps] if isinstance(reward, tuple) else reward,
            label=label,
        )
        return replace(
            self,
            solution=shorter,
            labels=self.labels[:steps],
            values=self.values[:steps],
            rationales=self.rationales[:steps],
            code=self.code[:steps],
            tokens=self.tokens[:steps],
            counts=self.counts[: steps + 1],
        )

    def _error(self, message: str) -> InputError:
        return InputError(f"candidate '{self.id}' has {message}")


def first_zero(labels: Sequence[int | None]) -> int | None:
    """Index of the first 0 of a list of labels, -1 if there is none; None without labels or behind an unknown one."""
    for index, label in enumerate(labels):
        if label is None:
            return None
        if label == 0:
            return index
    return -1 if labels else None
