"""What is to be done next for one problem: which samples, then which prefixes. Pure; what is in decides, never when.

``start`` gives the orders to begin with, ``add`` those that a result brings. Results of earlier runs are known from the
beginning and are not ordered again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from genprm.rollout.amounts import Amounts, Rule
from genprm.rollout.budget import Budget, Outcome
from genprm.rollout.samples import Order, PrefixOrder, SampleOrder
from genprm.types import Problem, Rollout, Solution

PROBLEM_ALONE = -1
"""The step of the prefix that has none."""


class SampleCourse:
    """The samples of one problem, in waves."""

    def __init__(
        self, problem: Problem, budget: Budget, key: Callable[[int], str], known: Mapping[str, Outcome]
    ) -> None:
        """``key``: of the sample of an index; ``known``: outcomes of earlier runs by key."""
        self.problem = problem
        self._budget = budget
        self._key = key
        self._known = known
        self._outcomes: dict[int, Outcome] = {}
        self._size = 0
        self.reused = 0

    def start(self) -> list[Order]:
        """The samples to begin with."""
        return self._next_waves()

    def add(self, index: int, outcome: Outcome) -> list[Order]:
        """A sample is in; what to sample next, if it completed its wave."""
        self._outcomes[index] = outcome
        return [] if self.owed else self._next_waves()

    def _next_waves(self) -> list[Order]:
        """Go on as far as samples of earlier runs carry."""
        orders: list[Order] = []
        while not orders and (size := self._budget.size(self._outcomes)) > self._size:
            for index in range(self._size, size):
                key = self._key(index)
                if key in self._known:
                    self._outcomes[index] = self._known[key]
                    self.reused += 1
                else:
                    orders.append(SampleOrder(key, self.problem, index))
            self._size = size
        return orders

    @property
    def size(self) -> int:
        """Samples that count, those owed included."""
        return self._size

    @property
    def owed(self) -> int:
        """Samples of the present wave that are not in."""
        return self._size - len(self._outcomes)

    @property
    def tally(self) -> Counter[Outcome]:
        """Samples that are in, by outcome."""
        return Counter(self._outcomes.values())

    def finished(self) -> list[str]:
        """Keys of the samples that are in, by index."""
        return [self._key(index) for index in sorted(self._outcomes)]


class PrefixCourse:
    """The prefixes of one problem: the problem alone, then those of its solutions.

    Where K depends on the difficulty, the problem alone goes first, for it tells how difficult it is.
    """

    def __init__(
        self,
        problem: Problem,
        solutions: Sequence[Solution],
        amounts: Amounts,
        rule: Rule | None,
        key: Callable[[Problem, Solution | None, int], str],
        known: Collection[str],
    ) -> None:
        """``known``: keys of prefixes that earlier runs have completed."""
        self.problem = problem
        self.solutions = tuple(solutions)
        self._amounts = amounts
        self._rule = rule
        self._known = known
        self._keys = {
            (solution.id if solution else "", step): key(problem, solution, step) for solution, step in self._prefixes()
        }
        self._alike = self._groups()
        self._last = {self.key_of(solution, len(solution.steps) - 1) for solution in solutions}
        self._in = {key for key in self._keys.values() if key in known}
        self.reused = len(self._in)
        self._waits = False

    def _prefixes(self) -> Iterable[tuple[Solution | None, int]]:
        if self.solutions:
            yield None, PROBLEM_ALONE
        for solution in self.solutions:
            for step in range(len(solution.steps)):
                yield solution, step

    def _groups(self) -> dict[str, list[tuple[str, Solution]]]:
        """By key of a prefix to be completed: keys and solutions of all prefixes with its text, itself included."""
        by_text: dict[object, list[tuple[str, Solution]]] = {}
        for solution, step in self._prefixes():
            if solution is not None and step < len(solution.steps) - 1:
                text = (solution.steps[: step + 1], solution.extra.get("separator"))
                by_text.setdefault(text, []).append((self.key_of(solution, step), solution))
        return {key: group for group in by_text.values() for key, _ in group}

    def twins(self, rollout: Rollout) -> list[Rollout]:
        """What a rollout says of other solutions that begin with the same text, as far as they are owed."""
        return [
            replace(rollout, key=key, id=solution.id, tokens=0, shared=rollout.shared or rollout.id)
            for key, solution in self._alike.get(rollout.key, ())
            if key not in self._in
        ]

    def start(self, problem_alone: Rollout | None = None) -> list[Order]:
        """The prefixes to begin with. ``problem_alone``: what an earlier run found for it."""
        if not self.solutions:
            return []
        alone = self.key_of(None, PROBLEM_ALONE)
        first: list[Order] = []
        if alone not in self._in:
            first = [PrefixOrder(alone, self.problem, None, PROBLEM_ALONE, self._amounts.of_problem)]
        if self._amounts.is_fixed:
            return first + self._of_solutions(self._amounts.medium)
        if problem_alone is None:
            self._waits = True
            return first
        return self._of_solutions(self._amounts.of_prefix(problem_alone.correct, problem_alone.total))

    def add(self, rollout: Rollout) -> list[Order]:
        """A prefix is in; what to complete next."""
        self._in.add(rollout.key)
        if not (self._waits and rollout.step == PROBLEM_ALONE):
            return []
        self._waits = False
        return self._of_solutions(self._amounts.of_prefix(rollout.correct, rollout.total))

    def _of_solutions(self, k: int) -> list[Order]:
        """One order for each text: what others begin with too is completed once (see ``twins``)."""
        orders: list[Order] = []
        known = set(self._in)
        for solution in self.solutions:
            for step in range(len(solution.steps)):
                key = self.key_of(solution, step)
                if key not in known:
                    orders.append(PrefixOrder(key, self.problem, solution, step, k, self._rule))
                    known |= {key, *(other for other, _ in self._alike.get(key, ()))}
        return orders

    def key_of(self, solution: Solution | None, step: int) -> str:
        """Of a prefix."""
        return self._keys[solution.id if solution else "", step]

    def is_last(self, rollout: Rollout) -> bool:
        """Whether it is of a whole solution, of which nothing was left to complete."""
        return rollout.key in self._last

    def finished(self) -> list[str]:
        """Keys of the prefixes that are in: the problem alone, then by solution and step."""
        return [key for key in self._keys.values() if key in self._in]

    @property
    def size(self) -> int:
        """Prefixes, those owed included."""
        return len(self._keys)

    @property
    def owed(self) -> int:
        """Prefixes that are not in."""
        return len(self._keys) - len(self._in)


class Feed:
    """Hands out orders; those that a result brings go before those of problems that have not begun."""

    def __init__(self, first: Iterable[Order]) -> None:
        """``first``: drawn one by one."""
        self._first = iter(first)
        self._next: deque[Order] = deque()

    def take(self) -> Order | None:
        """The next order; ``None`` if there is none now."""
        return self._next.popleft() if self._next else next(self._first, None)

    def put(self, orders: Iterable[Order]) -> None:
        """More to do."""
        self._next.extend(orders)
