"""What the other samples of a problem say of a step: self-consistency, step by step. Pure.

A policy is sampled many times on a problem and few of the samples are kept. The others have been paid for, and they
know what no rollout tells: a wrong step that does the answer no harm keeps a high Monte Carlo value, but samples that
reach the right answer mostly state rightly what it misstates.

The *statement* of a step is its last clause without the calculation in it: of "18 - 7 = 11, so Yara drove 11 miles" it
is "yara drove # miles", with the number 11. Samples of the problem with the right answer vote on these numbers; the
solution's own vote does not count. A step that states other numbers than most of the others is contradicted::

    found = contradicted(solutions, samples)      # by solution id: the first such step, -1 for none
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from genprm.types import Solution

_MARK = re.compile(r"^\s*(?:step|paragraph)\s+\d+\s*[:.]\s*", re.IGNORECASE)
_ANSWER = re.compile(r"[^.]*\\boxed\{.*", re.DOTALL)
_CLAUSE = re.compile(r"(?:^|[,.:;]\s+)(?:so|thus|hence|therefore|which means|this means that|we get)[,\s]+", re.I)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CALCULATION = re.compile(r"[\d(][\d\s.,()+*/x×÷^-]*[+*/x×÷^-][\d\s.,()+*/x×÷^-]*(?:=|gives)\s*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SURE = 3
"""Samples that agree, from which on their vote is called sure where none says otherwise."""


class Statement(NamedTuple):
    """What a step says, with ``#`` in place of its numbers, and the numbers."""

    words: str
    numbers: tuple[str, ...]


class Contradicted(NamedTuple):
    """The first step that other samples contradict."""

    step: int
    """0-based, -1 for none."""
    sure: bool
    """Every vote up to there was clear: of several samples, and none for the other side."""


def statement(step: str) -> Statement | None:
    """What a step states; None where no number is in it."""
    text = _ANSWER.sub("", _MARK.sub("", step)).strip() or _MARK.sub("", step)
    clause = _CLAUSE.split(_SENTENCE.split(text)[-1])[-1]
    said = " ".join(_CALCULATION.sub("", clause).lower().strip(" .").split())
    numbers = tuple(_NUMBER.findall(said))
    return Statement(_NUMBER.sub("#", said), numbers) if numbers else None


def contradicted(solutions: Sequence[Solution], samples: Iterable[Solution]) -> dict[str, Contradicted]:
    """For each solution the first step that other samples contradict.

    ``samples``: of the same problems, the solutions among them; those without the right answer
    (``final_answer_correct``) do not vote.
    """
    votes: dict[str, dict[str, Counter[tuple[str, ...]]]] = defaultdict(lambda: defaultdict(Counter))
    for sample in samples:
        if sample.final_answer_correct:
            for said in _statements(sample.steps):
                votes[_problem(sample)][said.words][said.numbers] += 1
    return {one.id: _first(one, votes.get(_problem(one), {})) for one in solutions}


def _first(solution: Solution, votes: Mapping[str, Counter[tuple[str, ...]]]) -> Contradicted:
    own = 1 if solution.final_answer_correct else 0
    clear = True
    for index, step in enumerate(solution.steps):
        said = statement(step)
        others = votes.get(said.words) if said is not None else None
        if said is None or others is None:
            clear = False
            continue
        mine = others[said.numbers] - own
        most = max((count for numbers, count in others.items() if numbers != said.numbers), default=0)
        if most > mine:
            return Contradicted(index, mine <= 0 and most >= _SURE)
        clear = clear and mine >= _SURE - 1
    return Contradicted(-1, clear)


def _statements(steps: Sequence[str]) -> set[Statement]:
    return {said for said in map(statement, steps) if said is not None}


def _problem(solution: Solution) -> str:
    return solution.problem_id or solution.problem
