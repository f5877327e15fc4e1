"""Reads the solutions that a policy in training wrote: graded, rewarded, and the advantage of each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genprm import background, prompts
from genprm.engines.base import Tokenizer
from genprm.records.grading import Grade, Grader
from genprm.rollout import styles
from genprm.runs.pool import together
from genprm.train.credit import Worth, advantages, on_tokens
from genprm.train.options.policies import GrpoTraining
from genprm.train.policy_rewards import Reward, Rewards
from genprm.types import Problem, Solution


@dataclass(frozen=True, slots=True)
class Read:
    """One completion."""

    problem: Problem
    ids: tuple[int, ...]
    """Its tokens, the one that ends it included."""
    text: str
    """The policy's whole turn, our opening included."""
    grade: Grade | None
    """``None``: it did not end by itself."""
    reward: Reward | None = None
    """``None``: it has not the right format."""

    @property
    def right(self) -> bool:
        return self.grade is not None and self.grade.correct

    def worth(self) -> Worth:
        """A completion without the right format is one step that is worth nothing."""
        if self.reward is None:
            return Worth(0.0, (0.0,))
        known = tuple(step for step in self.reward.steps if step is not None)
        whole = bool(known) and len(known) == len(self.reward.steps)
        return Worth(self.outcome, known if whole else None)

    @property
    def outcome(self) -> float:
        """What the whole is worth where steps do not count: whether it is right, or what a control says."""
        control = self.reward is not None and not self.reward.steps
        return (self.reward.score or 0.0) if control and self.reward is not None else float(self.right)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Problems in groups: batch n is a function of n."""

    problems: tuple[Problem, ...]
    per_step: int
    group: int
    repeats: int
    """Times that a batch comes in a row: TRL asks for it once in each accumulated batch, and samples at the first."""

    def iterate(self, first: int = 0, stride: int = 1) -> Iterator[list[dict[str, Any]]]:
        number = first
        while True:
            step = number // self.repeats
            places = range(step * self.per_step, (step + 1) * self.per_step)
            chosen = [self.problems[place % len(self.problems)] for place in places]
            yield [{"prompt": one.problem, "id": one.id} for one in chosen for _ in range(self.group)]
            number += stride


class Reader:
    """Grades and rewards completions, whole groups at a time."""

    def __init__(
        self, options: GrpoTraining, problems: Sequence[Problem], tokenizer: Tokenizer, ends: set[int]
    ) -> None:
        """``ends``: the tokens that end a turn."""
        self._options, self._tokenizer, self._ends = options, tokenizer, ends
        self._by_id = {problem.id: problem for problem in problems}
        self._opening = "".join(segment.text for segment in styles.opening(options.sampling.style))
        self._rewards = Rewards(options.reward, options.seed)
        self._grader: Grader | None = None

    @property
    def share(self) -> float:
        """Of the process reward."""
        return self._options.share

    def prompt(self, problem: str) -> list[int]:
        """The tokens of a problem's prompt, our opening of the turn included."""
        sampling = self._options.sampling
        turn = styles.opening(sampling.style)
        segments = prompts.render_policy(problem, turn, self._tokenizer, system=sampling.system)
        return list(prompts.encode(segments, self._tokenizer).ids)

    def read(self, ids: Sequence[str], completions: Sequence[Sequence[int]]) -> list[Read]:
        """Completions of the problems of these ids. Raises ``EngineUnavailable``, ``SandboxUnavailable`` or
        ``GraderUnavailable``."""
        pairs = list(zip((self._by_id[id] for id in ids), map(tuple, completions), strict=True))
        texts = [self._opening + self._tokenizer.decode(tokens) for _, tokens in pairs]
        ended = [bool(tokens) and tokens[-1] in self._ends for _, tokens in pairs]
        grades = background.shared().run(self._graded([one for one, _ in pairs], texts, ended))
        solutions: dict[int, Solution] = {}
        for place, ((problem, _), text, grade) in enumerate(zip(pairs, texts, grades, strict=True)):
            steps = styles.cut(self._options.sampling.style, text).steps
            fits = len(steps) >= styles.least_steps(self._options.sampling.style)
            if fits and grade is not None and grade.status == "graded":
                solutions[place] = Solution(
                    problem.problem, steps, id=f"{problem.id}/{place}", final_answer_correct=grade.correct
                )
        rewards = dict(zip(solutions, self._rewards.of(list(solutions.values())), strict=True))
        return [
            Read(problem, tokens, text, grade, rewards.get(place))
            for place, ((problem, tokens), text, grade) in enumerate(zip(pairs, texts, grades, strict=True))
        ]

    def advantages(self, read: Sequence[Read]) -> list[list[float]]:
        """One a token, of completions that stand in whole groups."""
        options, size = self._options, self._options.sampling.samples
        found = []
        for start in range(0, len(read), size):
            group = read[start : start + size]
            steps = advantages([one.worth() for one in group], options.share, options.credit)
            found += [on_tokens(own, *self._places(one)) for own, one in zip(steps, group, strict=True)]
        return found

    def score(self, one: Read) -> float:
        """The reward in one number, for the log: outcome and process mixed."""
        share = self._options.share
        process = 0.0 if one.reward is None else one.reward.score or 0.0
        return (1 - share) * one.worth().outcome + share * process

    def close(self) -> None:
        """Free grader and reward model."""
        self._rewards.rest()
        if self._grader is not None:
            background.shared().run(self._grader.aclose())
        self._grader = None

    def _places(self, one: Read) -> tuple[tuple[int, ...], list[int]]:
        """Where steps and tokens begin in the text."""
        return styles.starts(self._options.sampling.style, one.text), token_places(
            one.ids, self._tokenizer, len(self._opening)
        )

    async def _graded(
        self, problems: Sequence[Problem], texts: Sequence[str], ended: Sequence[bool]
    ) -> list[Grade | None]:
        self._grader = self._grader or Grader()
        grader = self._grader

        async def one(problem: Problem, text: str, whole: bool) -> Grade | None:
            return await grader.grade(problem.answer, styles.concluding(text)) if whole else None

        return await together(one(*each) for each in zip(problems, texts, ended, strict=True))


def token_places(ids: Sequence[int], tokenizer: Tokenizer, first: int) -> list[int]:
    """The character at which each token begins, the first at ``first``."""
    pieces = [tokenizer.decode([token]) for token in ids]
    if "".join(pieces) != tokenizer.decode(ids):  # a letter of several tokens: look at the whole each time
        return [first + len(tokenizer.decode(ids[:place])) for place in range(len(ids))]
    places = [first]
    for piece in pieces[:-1]:
        places.append(places[-1] + len(piece))
    return places[: len(ids)]
