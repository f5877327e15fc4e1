"""Filters over candidates, composed into a chain, and the funnel that says what each of them did.

    sifted = sift(candidates, [GenPRMConsensus(), Truncate(), Length(8192), PerProblem(4), Balance(0.5)])
    sifted.kept, sifted.funnel

A stage answers for every candidate, in order: with the candidate to go on with (itself, or changed), or with the
stable name of the reason why it is dropped. A stage is a function of the candidates and its own settings: it draws by
hashes of ids and a seed, so the order of its input changes nothing but the order of its output. Order matters between
stages: consensus compares whole solutions, so it stands before ``Truncate``; what counts tokens or texts behind it.

The funnel adds up, or cannot be made: what enters a stage is what it kept and what it dropped for each reason, and
what enters the next stage is what it kept.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol

from genprm.curate.evidence import Candidate
from genprm.errors import InputError

Answer = Candidate | str
"""The candidate to go on with, or the name of the reason to drop it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a stage says of all candidates."""

    each: Sequence[Answer]
    """One a candidate, in their order."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the funnel shows beside the numbers that add up."""


class Stage(Protocol):
    """A filter or a transform; simple ones derive from ``OneByOne``."""

    @property
    def name(self) -> str: ...
    def apply(self, candidates: Sequence[Candidate]) -> Answers: ...


class OneByOne(ABC):
    """A stage that looks at each candidate alone."""

    name: ClassVar[str]

    @abstractmethod
    def answer(self, candidate: Candidate) -> Answer: ...

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        return Answers([self.answer(candidate) for candidate in candidates])


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One stage of a funnel."""

    stage: str
    entered: int
    kept: int
    reasons: Mapping[str, int]
    """Candidates dropped, by reason."""
    counts: Mapping[str, int]
    """Further counts that need not add up to anything."""
    settings: Mapping[str, Any]
    """The stage's settings, as far as they are plain values."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """The stages of a chain in order. Raises ``InputError`` if the numbers do not add up."""

    rows: tuple[FunnelRow, ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if row.entered != row.kept + sum(row.reasons.values()):
                raise InputError(
                    f"stage '{row.stage}' took {row.entered} candidates, kept {row.kept} and dropped "
                    f"{sum(row.reasons.values())}; one answer for each candidate is needed"
                )
        for one, other in pairwise(self.rows):
            if one.kept != other.entered:
                raise InputError(
                    f"stage '{one.stage}' kept {one.kept} candidates and '{other.stage}' took {other.entered}; "
                    "join funnels of one chain only"
                )

    def __add__(self, other: Funnel) -> Funnel:
        return Funnel(self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that a stage dropped."""

    id: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of the candidates, in their order, and what became of the others."""

    kept: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    funnel: Funnel


def sift(candidates: Iterable[Candidate], stages: Iterable[Stage]) -> Sifted:
    """Send the candidates through the stages. Raises ``InputError`` where two have the same id."""
    left: Sequence[Candidate] = tuple(candidates)
    twice = [name for name, count in Counter(candidate.id for candidate in left).items() if count > 1]
    if twice:
        raise InputError(f"{len(twice)} ids stand for more than one candidate (such as '{twice[0]}'); make ids unique")
    rows: list[FunnelRow] = []
    dropped: list[Dropped] = []
    for stage in stages:
        answers = stage.apply(left)
        kept = [answer for answer in answers.each if isinstance(answer, Candidate)]
        pairs = zip(left, answers.each, strict=True)
        gone = [Dropped(one.id, stage.name, answer) for one, answer in pairs if isinstance(answer, str)]
        reasons = dict(sorted(Counter(drop.reason for drop in gone).items()))
        rows.append(FunnelRow(stage.name, len(left), len(kept), reasons, answers.counts, _settings(stage)))
        left, dropped = kept, dropped + gone
    return Sifted(tuple(left), tuple(dropped), Funnel(tuple(rows)))


@dataclass(frozen=True, slots=True)
class CodeConflict(OneByOne):
    """Drops a solution with a step whose code printed the opposite of the judgement (see ``conflict``).

    Steps behind the first error count as long as they are there: put ``Truncate`` first if they will be cut.
    """

    name: ClassVar[str] = "code-conflict"

    def answer(self, candidate: Candidate) -> Answer:
        return "conflict" if "conflict" in candidate.code else candidate


@dataclass(frozen=True, slots=True)
class Truncate:
    """Ends every solution at its first wrong step, so that nothing is trained on what follows an error.

    Drops nothing but solutions whose first error is not known. Labels after the first error say little, since a step
    may be right in itself and rest on the error; GenPRM's data and Qwen2.5-Math-PRM's end there.
    """

    name: ClassVar[str] = "truncate"

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        each = [self._cut(candidate) for candidate in candidates]
        shorter = sum(isinstance(new, Candidate) and new is not old for new, old in zip(each, candidates, strict=True))
        return Answers(each, {"shortened": shorter})

    def _cut(self, candidate: Candidate) -> Answer:
        index = candidate.error
        if index is None:
            return "error-unknown"
        return candidate if index in (-1, len(candidate.solution.steps) - 1) else candidate.cut(index + 1)


@dataclass(frozen=True, slots=True)
class Length(OneByOne):
    """Drops conversations of more than ``tokens`` tokens, and those whose length is not known. Nothing is cut."""

    tokens: int
    name: ClassVar[str] = "length"

    def answer(self, candidate: Candidate) -> Answer:
        if not candidate.tokens:
            return "length-unknown"
        return "too-long" if sum(candidate.tokens) > self.tokens else candidate


@dataclass(frozen=True, slots=True)
class PerProblem:
    """Keeps at most ``limit`` solutions of a problem, drawn by ``seed``. Raises ``InputError`` for a limit below 1.

    Problems are told apart by their id, else by their text. A larger limit keeps all that a smaller one keeps.
    """

    limit: int
    seed: int = 0
    name: ClassVar[str] = "per-problem"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise InputError(f"the cap on solutions per problem is {self.limit}; it must be at least 1")

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        groups: dict[str, list[str]] = defaultdict(list)
        for candidate in candidates:
            groups[candidate.problem_key].append(candidate.id)
        kept = {name for ids in groups.values() for name in drawn(ids, self.limit, self.name, self.seed)}
        return Answers(
            [candidate if candidate.id in kept else "over-cap" for candidate in candidates], {"problems": len(groups)}
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """Draws from the larger class by ``seed`` until a share ``with_error`` of the solutions has an error.

    The smaller class is kept whole; the larger one is rounded down, so the share is met within one solution, and of
    solutions that are all alike nothing is left. Drops those whose first error is not known. Raises ``InputError`` for
    a share outside (0, 1).
    """

    with_error: float = 0.5
    seed: int = 0
    name: ClassVar[str] = "balance"

    def __post_init__(self) -> None:
        if not 0 < self.with_error < 1:
            raise InputError(f"the share of solutions with an error is {self.with_error}; give one between 0 and 1")

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        wrong = [candidate.id for candidate in candidates if candidate.error not in (None, -1)]
        right = [candidate.id for candidate in candidates if candidate.error == -1]
        odds = self.with_error / (1 - self.with_error)
        # The small addition keeps 3 * (1 / 3) at 1.
        most_wrong, most_right = (math.floor(size + 1e-9) for size in (len(right) * odds, len(wrong) / odds))
        kept = drawn(wrong, most_wrong, self.name, self.seed) | drawn(right, most_right, self.name, self.seed)
        return Answers([self._answer(candidate, kept) for candidate in candidates])

    def _answer(self, candidate: Candidate, kept: set[str]) -> Answer:
        if candidate.id in kept:
            return candidate
        if candidate.error is None:
            return "error-unknown"
        return "surplus-without-error" if candidate.error == -1 else "surplus-with-error"


def drawn(ids: Sequence[str], count: int, purpose: str, seed: int) -> set[str]:
    """``count`` of the ids, or all: a function of the set of ids alone. More are drawn on top of fewer."""

    def rank(name: str) -> bytes:
        return hashlib.blake2b(f"{purpose}\n{seed}\n{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    return set(ids) if count >= len(ids) else set(sorted(ids, key=rank)[:count])


def _settings(stage: Any) -> dict[str, Any]:
    values = {one.name: getattr(stage, one.name) for one in fields(stage)} if is_dataclass(stage) else {}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
