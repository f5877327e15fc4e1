"""Training dialogues for a policy of the micro-world: problems with solutions, and requests to refine a solution.

``dialogue(index)`` is a pure function of (seed, index). A solution states its steps in the world's own phrasings. The
order of independent steps varies, quantities that the answer does not need may be left out or added, and a value may
be computed from the problem once more before it is used: so a mistake made earlier can be survived. In a share of the
solutions one step is wrong and computed again, rightly, right after: that teaches that what is written may be wrong.

To refine, the dialogue goes on: the first solution is right or wrong, and the request quotes one of its steps with a
critique that is right, wrong or empty, each in equal share. The new solution is right whatever was said, so a model
that obeys every critique gains nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from genprm.engines.base import Tokenizer
from genprm.lab.program import Expression, Node
from genprm.lab.teacher import Teacher
from genprm.lab.truth import pairs
from genprm.lab.world import Kind, Split, WorldProblem, WorldStep, make_problem, wrong_version
from genprm.prompts import Row, Turn, policy_row, refine_request
from genprm.types import Segment

Critique = Literal["right", "wrong", "empty"]
CRITIQUES: tuple[Critique, ...] = ("right", "wrong", "empty")
MOST_STEPS, LARGEST = 5, 100
"""The problems that policies are made for: at most so many steps, and no value above it."""
_WRONG: tuple[Kind, ...] = ("slip", "operation", "operand", "skipped")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One training dialogue. ``solutions[0]`` answers the problem, ``solutions[1]`` the request, if there is one."""

    problem: WorldProblem
    solutions: tuple[tuple[str, ...], ...]
    request: str | None = None
    critique: Critique | None = None
    """What the critique is worth."""

    def row(self, tokenizer: Tokenizer) -> Row:
        """As tokens; the loss counts on the last solution and its end."""
        requests = () if self.request is None else (self.request,)
        turns: list[Turn] = [(Segment("user", solution_text(steps)),) for steps in self.solutions[:-1]]
        turns.append((Segment("model", solution_text(self.solutions[-1])),))
        return policy_row(self.problem.text, requests, turns, tokenizer)


@dataclass(frozen=True, slots=True)
class PolicyCorpus:
    """An endless, indexable set of dialogues on problems of the train split."""

    seed: int
    most_steps: int = MOST_STEPS
    largest: int = LARGEST
    grow_over: int = 0
    """Over the first so many dialogues problems grow from two steps to the most: what to copy from where is learned
    sooner in short ones."""
    refine_share: float = 0.12
    """Share of dialogues in which a solution is refined."""
    again_share: float = 0.2
    """Share of solutions in which a value is computed a second time."""
    mend_share: float = 0.05
    """Share of solutions with a wrong step that is computed again, rightly, right after."""
    useless_share: float = 0.15
    """Share of solutions with a true step that leads nowhere, beyond those that the story itself has."""
    quote_share: float = 0.75
    """Share of steps that quote the sentence they rest on. Such a step is easy to learn: first which sentence comes
    next, then what it says. The other steps leave all that to the reader, and are where a small model errs most."""

    def dialogue(self, index: int) -> Dialogue:
        rng = random.Random(f"policy dialogue {self.seed} {index}")
        problem = self._problem(index, rng)
        plan = self._plan(problem, rng)
        if rng.random() < self.refine_share:
            return _refined(problem, plan, rng, self.quote_share)
        spoiled = None
        if rng.random() < self.mend_share:
            plan, spoiled = _mended(problem, plan, rng)
        attempt = _attempt(plan, spoiled, rng, carry=False) or ()
        return Dialogue(problem, (written(attempt, rng, self.quote_share),))

    def attempt(self, index: int, kinds: Sequence[Kind], rng: random.Random) -> Attempt:
        """A solution in a policy's manner, right or with a first error of one of ``kinds``, to be read by others."""
        problem = self._problem(index, rng)
        plan = self._plan(problem, rng)
        stated = _wrong_attempt(problem, plan, kinds, rng) if kinds else None
        stated = stated or _attempt(plan, None, rng, carry=False) or ()
        return Attempt(problem, stated, written(stated, rng, self.quote_share))

    def texts(self, conversations: int) -> Iterator[str]:
        """What the first ``conversations`` say, for a tokenizer."""
        for index in range(conversations):
            made = self.dialogue(index)
            yield made.problem.text
            yield from (solution_text(steps) for steps in made.solutions)
            yield made.request or ""

    def _problem(self, index: int, rng: random.Random) -> WorldProblem:
        grown = 2 + (self.most_steps - 1) * index // self.grow_over if index < self.grow_over else self.most_steps
        return make_problem(rng.getrandbits(48), most_steps=min(self.most_steps, grown), largest=self.largest)

    def _plan(self, problem: WorldProblem, rng: random.Random) -> tuple[Node, ...]:
        """Which quantities a solution states, in which order; the one asked for is the last."""
        needed = _needed(problem)
        kept = [node for node in problem.nodes if node.name in needed or rng.random() < 0.5]
        extra = list(pairs(problem))
        if extra and rng.random() < self.useless_share:
            kept.insert(0, rng.choice(extra))
        plan = _ordered(kept, rng)
        if len(plan) > 1 and rng.random() < self.again_share:
            first = rng.randrange(len(plan) - 1)
            plan.insert(rng.randint(first + 1, len(plan) - 1), plan[first])
        return tuple(plan)


@dataclass(frozen=True, slots=True)
class Stated:
    """A step of an attempt before it is put into words."""

    node: Node
    expression: Expression
    claimed: Fraction
    wrong: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """A solution with what each of its steps states."""

    problem: WorldProblem
    stated: tuple[Stated, ...]
    steps: tuple[str, ...]

    @property
    def label(self) -> int:
        """0-based index of the first wrong step, -1 for none."""
        return next((place for place, stated in enumerate(self.stated) if stated.wrong), -1)


def policy_problem(seed: int, split: Split = "test", *, held_out: bool = False) -> WorldProblem:
    """The problem of a seed among those that policies are made for."""
    return make_problem(seed, split, held_out=held_out, most_steps=MOST_STEPS, largest=LARGEST)


def written(attempt: Sequence[Stated], rng: random.Random, quote_share: float = 0.0) -> tuple[str, ...]:
    """The steps of an attempt in words; the last one also boxes the answer."""
    steps = [_step(stated, rng, quoting=rng.random() < quote_share) for stated in attempt]
    return (*steps[:-1], f"{steps[-1]} The answer is \\boxed{{{attempt[-1].claimed}}}.")


def _step(stated: Stated, rng: random.Random, *, quoting: bool) -> str:
    node = stated.node
    if quoting and node.because:
        return node.quote(stated.expression, stated.claimed)
    return node.say(stated.expression, stated.claimed, rng)


def solution_text(steps: Sequence[str]) -> str:
    """An assistant turn: numbered steps with blank lines between."""
    return "\n\n".join(f"Step {index + 1}: {step}" for index, step in enumerate(steps))


def _needed(problem: WorldProblem) -> set[str]:
    """Names of the quantities that the answer is computed from, and of the answer."""
    needed = {problem.nodes[-1].name}
    for node in reversed(problem.nodes):
        if node.name in needed and not node.side:
            needed |= node.expression.names()
    return needed


def _ordered(nodes: Sequence[Node], rng: random.Random) -> list[Node]:
    """In the story's order, or in any other in which each comes after those that it builds on; the last stays last."""
    waiting, last = list(nodes[:-1]), nodes[-1]
    free = rng.random() < 0.5
    ordered: list[Node] = []
    while waiting:
        open_names = {node.name for node in waiting}
        ready = [node for node in waiting if not open_names & node.expression.names()]
        chosen = rng.choice(ready) if free else ready[0]
        waiting.remove(chosen)
        ordered.append(chosen)
    return [*ordered, last]


def _mended(
    problem: WorldProblem, plan: tuple[Node, ...], rng: random.Random
) -> tuple[tuple[Node, ...], tuple[int, Expression, Fraction] | None]:
    """The plan with one step doubled, and a wrong version for the first of the two."""
    place = rng.randrange(len(plan))
    wrong = _version(problem, plan[place], _WRONG, rng)
    if wrong is None:
        return plan, None
    return (*plan[: place + 1], *plan[place:]), (place, *wrong)


def _version(
    problem: WorldProblem, node: Node, kinds: Sequence[Kind], rng: random.Random
) -> tuple[Expression, Fraction] | None:
    """A wrong version of a step; none of one that is not in the story's own solution."""
    if node not in problem.nodes:
        return None
    return wrong_version(problem, problem.nodes.index(node), rng.choice(kinds), rng)


def _attempt(
    plan: Sequence[Node], spoiled: tuple[int, Expression, Fraction] | None, rng: random.Random, *, carry: bool
) -> tuple[Stated, ...] | None:
    """A plan carried out; with ``carry`` a wrong value is built on. ``None`` where that leaves the whole numbers."""
    values: dict[str, Fraction] = {}
    made: list[Stated] = []
    for index, node in enumerate(plan):
        expression = node.expression.rebound(values) if carry else node.expression
        claimed = expression.value()
        wrong = spoiled is not None and index == spoiled[0]
        if wrong and spoiled is not None:
            _, expression, claimed = spoiled
        if claimed is None or claimed < 0 or claimed.denominator != 1:
            return None
        values[node.name] = claimed
        made.append(Stated(node, expression, claimed, wrong))
    return tuple(made)


def _refined(problem: WorldProblem, plan: tuple[Node, ...], rng: random.Random, quote_share: float) -> Dialogue:
    """A first solution, a request of a drawn worth, and a right solution of the same plan."""
    critique = rng.choice(CRITIQUES)
    right = _attempt(plan, None, rng, carry=False)
    assert right is not None
    first = right
    if critique == "right" or rng.random() < 0.5:
        first = _wrong_attempt(problem, plan, _WRONG, rng) or right
    if first is right and critique == "right":
        critique = "empty"
    place = _place(first, critique, rng)
    words = _criticised(problem, first, place, critique, rng)
    solution = written(first, rng, quote_share)
    quoted = solution[place].partition(" The answer is ")[0]
    quoted = quoted if rng.random() < 0.5 else f"Step {place + 1}: {quoted}"
    return Dialogue(problem, (solution, written(right, rng, quote_share)), refine_request(quoted, words), critique)


def _wrong_attempt(
    problem: WorldProblem, plan: tuple[Node, ...], kinds: Sequence[Kind], rng: random.Random
) -> tuple[Stated, ...] | None:
    for _ in range(8):
        place = rng.randrange(len(plan))
        wrong = _version(problem, plan[place], kinds, rng)
        made = None if wrong is None else _attempt(plan, (place, *wrong), rng, carry=rng.random() < 0.8)
        if made is not None:
            return made
    return None


def _place(attempt: Sequence[Stated], critique: Critique, rng: random.Random) -> int:
    """Which step is quoted: the wrong one by a right critique, another one by a wrong critique."""
    wrong = [index for index, stated in enumerate(attempt) if stated.wrong]
    if critique == "right":
        return wrong[0]
    others = [index for index in range(len(attempt)) if critique == "empty" or index not in wrong]
    return rng.choice(others or wrong)


def _criticised(
    problem: WorldProblem, attempt: Sequence[Stated], place: int, critique: Critique, rng: random.Random
) -> str:
    """What a verifier would say of a step; a wrong critique says that it should be computed otherwise."""
    stated = attempt[place]
    if critique == "empty":
        return ""
    node = stated.node
    if critique == "wrong":
        wrong = _version(problem, node, _WRONG[1:], rng)
        node = node if wrong is None else replace(node, expression=wrong[0])
    holds = critique == "wrong"
    step = WorldStep("", stated.expression, stated.claimed, not holds, holds, holds)
    return Teacher("analyze", rng).world([node], 0, step).analysis or ""
