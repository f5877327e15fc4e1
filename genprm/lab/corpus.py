"""Training conversations for a model that is taught on truth: micro-world solutions and GSM8K train solutions.

``conversation(index)`` is a pure function of (seed, index), so a data set of any length needs no storage and any
worker can make any row. Micro-world solutions often end at their first wrong step, as the consensus-filtered data of
the paper would; some go on after it. GSM8K solutions go on, since each later step stands on the right number there.
A share of conversations has the code output swapped for its opposite, with the judgement following it: that teaches
the model to believe what the code printed. Such a conversation ends there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genprm.lab.gsm8k import ParsedStep, Slipped, holds, inject_slip, parse_step
from genprm.lab.story import SIDE_SHARE
from genprm.lab.teacher import Teacher, flipped
from genprm.lab.world import KINDS, MOST_STEPS, make_problem, solve
from genprm.rationale.grammar import Rationale, turn_segments
from genprm.types import Mode, Segment

_MODES: tuple[tuple[Mode, float], ...] = (("code", 0.86), ("analyze", 0.04), ("code-only", 0.06), ("direct", 0.04))
_MOST_EQUATIONS = 5


@dataclass(frozen=True, slots=True)
class Conversation:
    """One training dialogue: ``turns[t]`` judges ``steps[t]``."""

    problem: str
    steps: tuple[str, ...]
    turns: tuple[tuple[Segment, ...], ...]
    mode: Mode


@dataclass(frozen=True, slots=True)
class Corpus:
    """An endless, indexable set of conversations."""

    seed: int
    gsm8k: Sequence[Mapping[str, Any]] = ()
    """GSM8K train rows ``{problem, steps}`` with calculator annotations; empty: micro-world only."""
    gsm8k_share: float = 0.5
    flip_share: float = 0.08
    """Share of conversations that end in a swapped code output."""
    grow_over: int = 0
    """Over the first so many conversations their length grows, from two turns to any number: what to copy from where
    is learned sooner in short ones."""
    side_share: float = SIDE_SHARE
    """Share of the longer stories that have a step leading nowhere. Such steps are rare in the test, and a model that
    meets them as rarely in training rejects the true ones."""

    def conversation(self, index: int) -> Conversation:
        rng = random.Random(f"conversation {self.seed} {index}")
        mode = rng.choices([name for name, _ in _MODES], [weight for _, weight in _MODES])[0]
        turns = 2 + MOST_STEPS * index // self.grow_over if index < self.grow_over else None
        if self.gsm8k and rng.random() < self.gsm8k_share:
            return self._from_text(rng, mode, turns)
        return self._from_world(rng, mode, turns)

    def texts(self, conversations: int) -> Iterator[str]:
        """All problems of the rows, and what the first ``conversations`` say: for a tokenizer."""
        yield from (row["problem"] for row in self.gsm8k)
        for index in range(conversations):
            conversation = self.conversation(index)
            yield conversation.problem
            yield from conversation.steps
            yield from (segment.text for turn in conversation.turns for segment in turn)

    def _from_world(self, rng: random.Random, mode: Mode, turns: int | None) -> Conversation:
        solution = None
        while solution is None:
            most = min(MOST_STEPS, turns or MOST_STEPS)
            problem = make_problem(rng.getrandbits(48), most_steps=most, side_share=self.side_share)
            kind = rng.choices(KINDS, (5, 2, 2, 2, 2, 2))[0]
            solution = solve(problem, kind, rng.getrandbits(32))
        count = len(solution.steps)
        if solution.label >= 0 and rng.random() < 0.6:
            count = solution.label + 1
        teacher = Teacher(mode, rng)
        rationales = [teacher.world(solution.problem.nodes, t, solution.steps[t]) for t in range(count)][:turns]
        return self._conversation(solution.problem.text, [s.text for s in solution.steps], rationales, mode, rng)

    def _from_text(self, rng: random.Random, mode: Mode, turns: int | None) -> Conversation:
        while True:
            row = rng.choice(self.gsm8k)
            steps: list[ParsedStep | Slipped] = [parse_step(step) for step in row["steps"]]
            equations = [equation for step in steps for equation in step.equations]
            if all(holds(e) for e in equations) and all(len(s.equations) <= _MOST_EQUATIONS for s in steps):
                break
        places = [index for index, step in enumerate(steps) if step.equations]
        if places and rng.random() < 0.6:
            place = rng.choice(places)
            steps[place] = inject_slip(parse_step(row["steps"][place]), rng) or steps[place]
        if row.get("answer") and rng.random() < 0.15:
            steps.append(ParsedStep(rng.choice(("The answer is {}.", "A: {}")).format(row["answer"]), ()))
        teacher = Teacher(mode, rng)
        rationales = [teacher.arithmetic(step.equations) for step in steps][:turns]
        return self._conversation(row["problem"], [step.text for step in steps], rationales, mode, rng)

    def _conversation(
        self, problem: str, steps: Sequence[str], rationales: Sequence[Rationale], mode: Mode, rng: random.Random
    ) -> Conversation:
        kept = list(rationales)
        if kept[0].rounds and rng.random() < self.flip_share:
            place = rng.randrange(len(kept))
            kept = [*kept[:place], flipped(kept[place])]
        turns = tuple(turn_segments(rationale, index + 1) for index, rationale in enumerate(kept))
        return Conversation(problem, tuple(steps[: len(kept)]), turns, mode)
