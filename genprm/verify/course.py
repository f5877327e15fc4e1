"""The votes on one solution, in waves: which are in, which are to be run next, and when enough are in.

A wave holds the fewest votes that could settle what is asked for, in the order of their indices, and the next one
starts when it is complete. So what is run depends on the votes alone, never on which of them finished first. Without
an early stop there is one wave of all votes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from genprm.types import Solution, StepVerdict, Verification, Vote
from genprm.verdicts import VoteRule, values
from genprm.verify.aggregate import aggregate
from genprm.verify.stopping import Stop
from genprm.verify.store import VoteStore, steps_run


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
        store: VoteStore,
        *,
        stop: Stop = Stop(),  # noqa: B008 (a frozen value)
        vote_rule: VoteRule = "mean",
        key: Callable[[Solution, int], str] = lambda solution, vote: f"{solution.id} {vote}",
    ) -> None:
        """``store`` may hold votes of earlier runs. One that was cut short counts where no more of it is needed."""
        self.solution = solution
        self.reused = 0
        self._most = votes
        self._store = store
        self._stop = stop
        self._vote_rule = vote_rule
        self._key = key
        self._keys: list[str] = []
        """Of the votes before the wave, by index."""
        self._wave: dict[str, bool] = {}
        """Keys of the wave, by index, and whether each vote is in."""

    @property
    def finished(self) -> bool:
        """Enough votes are in."""
        return not self._wave and bool(self._keys)

    @property
    def owed(self) -> int:
        """Votes of the present wave that are not in."""
        return sum(not there for there in self._wave.values())

    def votes(self) -> list[Vote]:
        """The votes that are in, by index."""
        return [self._store[key] for key in (*self._keys, *(key for key, there in self._wave.items() if there))]

    def start(self) -> list[Unit]:
        """Begin; the votes to run first, none if those of earlier runs suffice."""
        return self._next_waves()

    def add(self, vote: Vote) -> list[Unit]:
        """Keep a vote that has been run; the votes to run next, if this one completed its wave."""
        self._store.add(vote)
        self._wave[vote.key] = True
        return [] if self.owed else self._next_waves()

    def _next_waves(self) -> list[Unit]:
        """Go on as far as votes of earlier runs carry."""
        while True:
            self._keys.extend(self._wave)
            self._wave = {}
            count = len(self._keys)
            columns = [] if self._stop.settle == "all" else self._columns()
            more = self._stop.least_more(columns, self._most - count)
            if not more:
                return []
            steps = self._stop.steps_needed(columns, self._most - count) or len(self.solution.steps)
            indices = {self._key(self.solution, index): index for index in range(count, count + more)}
            self._wave = {key: self._has(key, steps) for key in indices}
            self.reused += sum(self._wave.values())
            if self.owed:
                return [Unit(self, indices[key], key, steps) for key, there in self._wave.items() if not there]

    def _columns(self) -> list[list[float]]:
        votes = self.votes()
        return [
            values([vote.steps[step] for vote in votes], self._vote_rule) for step in range(len(self.solution.steps))
        ]

    def _has(self, key: str, steps: int) -> bool:
        if key not in self._store:
            return False
        return not self._store.is_cut(key) or steps_run(self._store[key]) >= steps

    def result(self) -> Verification:
        """The item of the votes that are in.

        It is ``settled`` by what was asked for; ``None`` while votes are owed. An item settled as to its first error
        says nothing of the steps behind that, whatever some votes may know of them.
        """
        votes = self.votes()
        item = aggregate(self.solution, votes, self._vote_rule)
        if not self.finished:
            return replace(item, settled=None)
        if len(self._keys) == self._most and not any(map(self._store.is_cut, self._keys)):
            return item
        if self._stop.settle in ("first-error", "risk") and item.predicted_label not in (None, -1):
            known = item.predicted_label + 1
            cut = aggregate(self.solution, [_first_steps(vote, known) for vote in votes], self._vote_rule)
            item = replace(cut, votes=item.votes)
        return replace(item, settled=self._stop.settle)


def _first_steps(vote: Vote, count: int) -> Vote:
    """The vote as if it had been run so far and no further."""
    rest = (StepVerdict("not_run", step.mode) for step in vote.steps[count:])
    return replace(vote, steps=(*vote.steps[:count], *rest))


class Feed:
    """Hands out the units of many courses; what a course wants next goes before courses that have not begun.

    The longest solutions go first: at the end of a run the engine would wait for the last of their steps alone.
    """

    def __init__(self, courses: Iterable[Course]) -> None:
        started = [unit for course in courses for unit in course.start()]
        self._first = iter(sorted(started, key=lambda unit: -len(unit.solution.steps)))
        self._next: deque[Unit] = deque()

    def take(self) -> Unit | None:
        """The next unit; ``None`` if there is none now."""
        return self._next.popleft() if self._next else next(self._first, None)

    def put(self, unit: Unit, vote: Vote) -> None:
        """A unit has been run."""
        self._next.extend(unit.course.add(vote))
