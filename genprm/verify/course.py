"""The votes on one solution, in waves: which are in, which are to be run next, and when enough are in.

A wave holds the fewest votes that could settle what is asked for, in the order of their indices, and the next one
starts when it is complete. So what is run depends on the votes alone, never on which of them finished first. Without
an early stop there is one wave of all votes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from genprm.types import Settled, Solution, StepVerdict, Verification, Vote
from genprm.verify.aggregate import VoteRule, aggregate, values
from genprm.verify.stopping import least_more, steps_needed


@dataclass(frozen=True, slots=True)
class Unit:
    """A vote to be run."""

    course: Course
    vote: int
    key: str
    steps: int
    """How many steps of it, from the first."""

    @property
    def solution(self) -> Solution:
        return self.course.solution


class Course:
    """The votes on one solution. ``start`` and ``add`` give the units to run next."""

    def __init__(
        self,
        solution: Solution,
        votes: int,
        *,
        settle: Settled = "all",
        vote_rule: VoteRule = "mean",
        key: Callable[[Solution, int], str] = lambda solution, vote: "",
        stored: Mapping[str, Vote] | None = None,
    ) -> None:
        """``stored``: votes of earlier runs by key. One that was cut short counts where no more of it is needed."""
        self.solution = solution
        self.reused = 0
        self._most = votes
        self._settle = settle
        self._vote_rule = vote_rule
        self._key = key
        self._stored = stored or {}
        self._votes: list[Vote] = []
        """Those before the wave, by index."""
        self._wave: dict[int, Vote | None] = {}

    @property
    def finished(self) -> bool:
        """Enough votes are in."""
        return not self._wave and bool(self._votes)

    @property
    def owed(self) -> int:
        """Votes of the present wave that are not in."""
        return sum(vote is None for vote in self._wave.values())

    @property
    def votes(self) -> tuple[Vote, ...]:
        """The votes that are in, by index."""
        return (*self._votes, *(vote for vote in self._wave.values() if vote is not None))

    def start(self) -> list[Unit]:
        """Begin; the votes to run first, none if those of earlier runs suffice."""
        return self._next_waves()

    def add(self, vote: Vote) -> list[Unit]:
        """A vote has been run; the votes to run next, if this one completed its wave."""
        self._wave[vote.vote] = vote
        return [] if self.owed else self._next_waves()

    def _next_waves(self) -> list[Unit]:
        """Go on as far as votes of earlier runs carry."""
        while True:
            self._votes.extend(vote for vote in self._wave.values() if vote is not None)
            self._wave = {}
            remaining = self._most - len(self._votes)
            columns = [
                values([vote.steps[step] for vote in self._votes], self._vote_rule)
                for step in range(len(self.solution.steps))
            ]
            more = least_more(columns, remaining, self._settle)
            if not more:
                return []
            steps = steps_needed(columns, remaining, self._settle)
            units = []
            for index in range(len(self._votes), len(self._votes) + more):
                key = self._key(self.solution, index)
                stored = self._stored.get(key)
                usable = stored is not None and steps_run(stored) >= steps
                self._wave[index] = stored if usable else None
                self.reused += usable
                if not usable:
                    units.append(Unit(self, index, key, steps))
            if units:
                return units

    def result(self) -> Verification:
        """The item of the votes that are in.

        It is ``settled`` by what was asked for; ``None`` while votes are owed. An item settled as to its first error
        says nothing of the steps behind that, whatever some votes may know of them.
        """
        item = aggregate(self.solution, self.votes, self._vote_rule)
        if not self.finished:
            return replace(item, settled=None)
        if self._is_whole():
            return item
        if self._settle == "first-error" and item.predicted_label not in (None, -1):
            known = item.predicted_label + 1
            cut = aggregate(self.solution, [_first_steps(vote, known) for vote in self.votes], self._vote_rule)
            item = replace(cut, votes=item.votes)
        return replace(item, settled=self._settle)

    def _is_whole(self) -> bool:
        all_steps = len(self.solution.steps)
        return len(self._votes) == self._most and all(steps_run(vote) == all_steps for vote in self._votes)


def steps_run(vote: Vote) -> int:
    """How far a vote was run. One that failed at a step was run to its end."""
    ran = [step.status for step in vote.steps if step.status != "not_run"]
    return len(vote.steps) if "failed" in ran else len(ran)


def _first_steps(vote: Vote, count: int) -> Vote:
    """The vote as if it had been run so far and no further."""
    rest = (StepVerdict("not_run", step.mode) for step in vote.steps[count:])
    return replace(vote, steps=(*vote.steps[:count], *rest))


class Feed:
    """Hands out the units of many courses; what a course wants next goes before courses that have not begun."""

    def __init__(self, first: Iterable[Unit]) -> None:
        """``first``: the units that the courses start with. Drawn one by one."""
        self._first = iter(first)
        self._next: deque[Unit] = deque()

    def take(self) -> Unit | None:
        """The next unit; ``None`` if there is none now."""
        return self._next.popleft() if self._next else next(self._first, None)

    def put(self, unit: Unit, vote: Vote) -> None:
        """A unit has been run."""
        self._next.extend(unit.course.add(vote))
