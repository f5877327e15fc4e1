"""The micro-world: word problems whose every step has a known truth.

A problem is a small program: quantities told in the story, and steps that compute new ones (2 to 8, all four
operations, unit changes, ratios, comparisons, facts that do not matter). A solution states one step after another.
A wrong one has one first error of a named kind; truth is two fields a step, ``new_error`` (its own) and ``prefix_ok``
(all so far). Errors can be survived: unless they are propagated, later steps compute from the right value.

    problem = make_problem(seed=7, split="train")
    solution = solve(problem, kind="operand", seed=7)

Deterministic by seed. The split is by construction: the hash of a problem's text says whether it belongs to ``train``,
``curate`` or ``test``, and the held-out families exist in ``test`` alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from genprm.errors import InputError
from genprm.lab.families import FAMILIES, Family
from genprm.lab.program import Expression, Node
from genprm.lab.story import LARGEST, SIDE_SHARE, Story, tell
from genprm.types import Solution

Kind = Literal["clean", "slip", "operation", "operand", "skipped", "propagated"]
KINDS: tuple[Kind, ...] = ("clean", "slip", "operation", "operand", "skipped", "propagated")
Split = Literal["train", "curate", "test"]
"""Disjoint by construction. On ``curate`` data sets are made; nobody who judges them there was trained on it."""
MAX_VALUE = 20000
MOST_STEPS = 8


@dataclass(frozen=True, slots=True)
class WorldProblem:
    """A problem with its hidden program. ``text`` is all that a model may see."""

    id: str
    family: str
    held_out: bool
    text: str
    nodes: tuple[Node, ...]
    numbers: tuple[int, ...]
    """Numbers told in the text, distractors included."""

    @property
    def answer(self) -> int:
        return self.nodes[-1].value


@dataclass(frozen=True, slots=True)
class WorldStep:
    """One step of a solution with its truth."""

    text: str
    stated: Expression
    """What the step computes, with the numbers it uses."""
    claimed: Fraction
    new_error: bool
    """This step goes wrong by itself."""
    prefix_ok: bool
    """No step so far, this one included, has gone wrong."""
    holds: bool
    """What the step states is true of the story."""


@dataclass(frozen=True, slots=True)
class WorldSolution:
    """A solution with its truth, step by step."""

    problem: WorldProblem
    kind: Kind
    steps: tuple[WorldStep, ...]

    @property
    def label(self) -> int:
        """0-based index of the first wrong step, -1 for none."""
        return next((index for index, step in enumerate(self.steps) if not step.prefix_ok), -1)

    def record(self, identifier: str) -> Solution:
        """What others may see, with the label; family and kind ride along as extra fields."""
        final = str(self.steps[-1].claimed)
        return Solution(
            problem=self.problem.text,
            steps=tuple(step.text for step in self.steps),
            id=identifier,
            problem_id=self.problem.id,
            answer=str(self.problem.answer),
            predicted_answer=final,
            final_answer_correct=final == str(self.problem.answer),
            label=self.label,
            extra={"kind": self.kind, "family": self.problem.family, "held_out": self.problem.held_out},
        )


def make_problem(
    seed: int,
    split: Split = "train",
    *,
    held_out: bool = False,
    most_steps: int = MOST_STEPS,
    side_share: float = SIDE_SHARE,
    largest: int = LARGEST,
) -> WorldProblem:
    """The problem of a seed: the first one drawn from it that belongs to ``split``, of 2 to ``most_steps`` steps.

    No step of it has a value above ``largest``: small numbers leave the story as hard and the arithmetic easier.
    """
    if held_out and split != "test":
        raise InputError("held-out families exist in the test split only; ask for split='test'")
    rng = random.Random(f"world problem {seed} {split} {held_out}")
    families = [family for family in FAMILIES if family.held_out == held_out]
    while True:
        family = rng.choice(families)
        story = tell(family, rng, rng.randint(2, most_steps), side_share)
        if story is None or any(node.value > largest for node in story.nodes) or _split_of(story.text) != split:
            continue
        return _as_problem(family, story)


def _as_problem(family: Family, story: Story) -> WorldProblem:
    digest = hashlib.sha256(story.text.encode()).hexdigest()[:12]
    return WorldProblem(f"world-{digest}", family.name, family.held_out, story.text, story.nodes, story.numbers)


def _split_of(text: str) -> Split:
    splits: dict[int, Split] = {0: "test", 1: "curate"}
    return splits.get(hashlib.sha256(text.encode()).digest()[0] % 8, "train")


def solve(problem: WorldProblem, kind: Kind, seed: int) -> WorldSolution | None:
    """A solution whose first error is of ``kind``; ``None`` if this problem has no place for it."""
    rng = random.Random(f"world solution {problem.id} {kind} {seed}")
    if kind == "clean":
        return _write(problem, kind, {}, False, None, rng)
    base: Kind = rng.choice(("slip", "operation", "operand")) if kind == "propagated" else kind
    order = [index for index in range(len(problem.nodes)) if kind != "propagated" or _carries(problem, index)]
    rng.shuffle(order)
    for index in order:
        for _ in range(4):
            wrong = wrong_version(problem, index, base, rng)
            if wrong is None:
                continue
            solution = _write(problem, kind, {index: wrong}, kind == "propagated", index, rng)
            if solution is not None:
                return solution
    return None


def _carries(problem: WorldProblem, index: int) -> bool:
    """Some later step builds on the value of step ``index``."""
    name = problem.nodes[index].name
    return any(name in node.expression.names() for node in problem.nodes[index + 1 :])


def wrong_version(
    problem: WorldProblem, index: int, kind: Kind, rng: random.Random
) -> tuple[Expression, Fraction] | None:
    """A wrong version of step ``index``: the expression it states and the value it claims; ``None`` if none fits."""
    node = problem.nodes[index]
    right = node.expression
    if kind == "slip":
        return right, Fraction(_slipped(node.value, rng))
    changed: Expression | None
    if kind == "operation":
        changed = right.with_other_operation(rng)
    elif kind == "operand":
        pool = [n for n in problem.numbers if all(n != o.value for o in right.operands)]
        pool += [n.value for n in problem.nodes[:index] if all(n.value != o.value for o in right.operands)]
        changed = right.with_other_operand(rng, pool) if pool else None
    else:
        changed = right.without_one(rng)
    if changed is None:
        return None
    value = changed.value()
    if value is None or value == node.value or value < 0 or value.denominator != 1 or value > 10 * MAX_VALUE:
        return None
    return changed, value


def _slipped(value: int, rng: random.Random) -> int:
    """A plausible wrong result: off by a little, by a carry, by a digit, by a factor of ten, two digits swapped."""
    digits = list(str(value))
    options = [value + d for d in (-10, -9, -3, -2, -1, 1, 2, 3, 9, 10)] + [value * 10]
    if value % 10 == 0:
        options.append(value // 10)
    place = rng.randrange(len(digits))
    options.append(int("".join([*digits[:place], str(rng.randrange(10)), *digits[place + 1 :]])))
    if len(digits) > 1:
        digits[place], digits[place - 1] = digits[place - 1], digits[place]
        options.append(int("".join(digits)))
    return rng.choice([option for option in options if option >= 0 and option != value])


def _write(
    problem: WorldProblem,
    kind: Kind,
    wrong: dict[int, tuple[Expression, Fraction]],
    carry: bool,
    first: int | None,
    rng: random.Random,
) -> WorldSolution | None:
    """Write all steps; with ``carry`` the wrong value is used by every step that builds on it."""
    values: dict[str, Fraction] = {}
    steps: list[WorldStep] = []
    for index, node in enumerate(problem.nodes):
        if index in wrong:
            stated, claimed = wrong[index]
        else:
            stated = node.expression.rebound(values) if carry else node.expression
            result = stated.value()
            if result is None or result < 0 or result.denominator != 1:
                return None
            claimed = result
        values[node.name] = claimed
        new_error = index in wrong
        holds = not new_error and claimed == node.value and stated.same_numbers(node.expression)
        ok = first is None or index < first
        steps.append(WorldStep(node.say(stated, claimed, rng), stated, claimed, new_error, ok, holds))
    return WorldSolution(problem, kind, tuple(steps))


def solutions(
    seed: int, split: Split, *, kinds: tuple[Kind, ...] = KINDS, held_out: bool = False
) -> Iterator[WorldSolution]:
    """Endless solutions of fresh problems, the kinds taking turns."""
    index = 0
    turn = 0
    while True:
        problem = make_problem(seed * 1_000_003 + index, split, held_out=held_out)
        index += 1
        solution = solve(problem, kinds[turn % len(kinds)], seed)
        if solution is not None:
            turn += 1
            yield solution


def test_set(size: int, seed: int, *, held_out: bool = False) -> list[Solution]:
    """``size`` labelled solutions of the test split, each on a problem of its own, every kind in equal share."""
    picked: list[Solution] = []
    seen: set[str] = set()
    for solution in solutions(seed, "test", held_out=held_out):
        if len(picked) == size:
            break
        if solution.problem.id in seen:
            continue
        seen.add(solution.problem.id)
        picked.append(solution.record(f"world-test-{seed}-{len(picked)}"))
    return picked


__all__ = [
    "KINDS", "Kind", "WorldProblem", "WorldSolution", "WorldStep", "make_problem", "solutions", "solve",
    "test_set", "wrong_version",
]  # fmt: skip
