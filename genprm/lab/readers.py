"""Training dialogues for those who read solutions when data is curated: an annotator and a judge.

``dialogue(index)`` is a pure function of (seed, index). The solutions are a policy's in manner: quantities in any
order, some left out, some of no use, some computed twice, and mostly the sentence quoted that a step rests on. Their
first error is drawn among wrong results, operations and numbers, and sentences about somebody else. Problems are of
the train split, so nobody knows those that data is made of (the curate split).

The **annotator** writes the critique of ``genprm.curate.annotation``: it looks for the quantity, quotes what the story
tells of it, and has Python compute it. The **judge** writes a line for each paragraph and computes in its head. Both
stop at the first error. A right reader is taught; what a small model then gets wrong is its own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from genprm import prompts
from genprm.curate.annotation import CONCLUSION, OPENING, THINK
from genprm.curate.judge import judge_prompt
from genprm.engines.base import Tokenizer
from genprm.lab.policy import LARGEST, MOST_STEPS, Attempt, PolicyCorpus, Stated
from genprm.lab.program import Expression, Node, number
from genprm.lab.teacher import Teacher
from genprm.lab.world import Kind, WorldProblem, WorldStep
from genprm.rationale.format import ANALYZE_END, CODE_END, CODE_START, OUTPUT_HEAD, OUTPUT_TAIL, VERIFY_END, Rationale
from genprm.types import Segment

Reader = Literal["annotator", "judge"]
_ERRORS: tuple[Kind, ...] = ("slip", "operation", "operand", "operand", "skipped")


@dataclass(frozen=True, slots=True)
class Reading:
    """One training dialogue: a question about a solution, and the answer to it."""

    problem: WorldProblem
    steps: tuple[str, ...]
    label: int
    """First wrong step, -1 for none."""
    question: str
    system: str
    answer: tuple[Segment, ...]

    def row(self, tokenizer: Tokenizer) -> prompts.Row:
        """As tokens; the loss counts on what the reader writes and on its end."""
        return prompts.answer_row(self.question, self.answer, tokenizer, system=self.system)


@dataclass(frozen=True, slots=True)
class ReaderCorpus:
    """An endless, indexable set of dialogues of one kind of reader."""

    reader: Reader
    seed: int
    most_steps: int = MOST_STEPS
    largest: int = LARGEST
    grow_over: int = 0
    """Over the first so many dialogues problems grow from two steps to the most."""
    clean_share: float = 0.4
    """Share of solutions without an error."""
    exchange_share: float = 0.5
    """Share of the others whose first error tells of one what the story tells of another: what small policies write
    most often, and what a reader overlooks who copies the step instead of looking into the story."""

    def dialogue(self, index: int) -> Reading:
        rng = random.Random(f"{self.reader} {self.seed} {index}")
        writer = PolicyCorpus(self.seed, self.most_steps, self.largest, self.grow_over)
        clean, exchanges = rng.random() < self.clean_share, rng.random() < self.exchange_share
        attempt = writer.attempt(index, () if clean or exchanges else _ERRORS, rng)
        if exchanges and not clean:
            attempt = _exchanged(attempt, rng) or attempt
        problem, label, steps = attempt.problem, attempt.label, list(attempt.steps)
        if label >= 0 and rng.random() < 0.5:
            steps[label] = _misquoted(steps[label], attempt.stated[label])
        read = attempt.stated[: label + 1] if label >= 0 else attempt.stated
        if self.reader == "judge":
            question = judge_prompt(problem.text, steps)
            return Reading(problem, tuple(steps), label, question, "", _judged(read, label))
        question = prompts.fill("annotate.jinja", problem=problem.text, steps=steps)
        system = prompts.fill("system.annotate.jinja")
        return Reading(problem, tuple(steps), label, question, system, _annotated(read, label, rng))

    def texts(self, conversations: int) -> Iterator[str]:
        """What the first ``conversations`` say, for a tokenizer."""
        for index in range(conversations):
            made = self.dialogue(index)
            yield made.question
            yield "".join(segment.text for segment in made.answer)


def _exchanged(attempt: Attempt, rng: random.Random) -> Attempt | None:
    """A right solution with a step that tells of its quantity what the story tells of another; ``None`` without one."""
    told = [
        node for node in attempt.problem.nodes
        if node.because and all(text.startswith(f"{node.name} ") for text in (node.because[0], node.claim))
    ]  # fmt: skip
    last = len(attempt.stated) - 1
    places = [place for place, one in enumerate(attempt.stated) if one.node in told]
    rng.shuffle(places)
    for place in places:
        node = attempt.stated[place].node
        others = [other for other in told if other.value != node.value]
        if others:
            other = rng.choice(others)
            wrong = replace(
                attempt.stated[place], expression=other.expression, claimed=Fraction(other.value), wrong=True
            )
            steps, stated = list(attempt.steps), list(attempt.stated)
            steps[place], stated[place] = _told_of(node, other, rng, last=place == last), wrong
            return Attempt(attempt.problem, tuple(stated), tuple(steps))
    return None


def _told_of(node: Node, other: Node, rng: random.Random, *, last: bool) -> str:
    """A step that says of ``node`` what the story says of ``other``, mostly in a quotation, sometimes compared with
    itself."""
    calculation = f"{other.expression.text()} = {number(Fraction(other.value))}"
    claim = node.claim.format(v=calculation)
    sentence = other.because[0].replace(other.name, node.name, 1).removesuffix(".")
    if rng.random() < 0.2:
        named = [operand.name for operand in other.expression.operands if operand.name]
        sentence = re.sub(rf"\b{named[0]}\b", node.name, sentence) if named else sentence
    step = f"{sentence}, so {claim}." if rng.random() < 0.7 else f"{claim}."
    return f"{step} The answer is \\boxed{{{number(Fraction(other.value))}}}." if last else step


def _judged(read: Sequence[Stated], label: int) -> tuple[Segment, ...]:
    """A line for each paragraph, then the index of the last one if it is wrong."""
    lines = []
    for place, stated in enumerate(read):
        told = " ".join((*stated.node.because, ""))
        right = f"{stated.node.expression.text()} = {number(stated.node.expression.value() or stated.claimed)}"
        verdict = "wrong" if place == label else "right"
        lines.append(f"Paragraph {place}: {told}{right}. It says {number(stated.claimed)}: {verdict}.")
    return (Segment("model", "\n".join(lines) + f"\n\n\\boxed{{{label}}}"),)


def _annotated(read: Sequence[Stated], label: int, rng: random.Random) -> tuple[Segment, ...]:
    """The whole turn, the conclusion included, which the harness asks for again."""
    teacher = Teacher("code", rng)
    known: set[str] = set()
    turn = [Segment("harness", THINK + OPENING)]
    for place, stated in enumerate(read):
        if place:
            turn.append(Segment("model", f"\n### Paragraph {place + 1}\n<analyze>\n"))
        node = replace(stated.node, expression=_over(stated, known))
        holds = place != label
        step = WorldStep("", stated.expression, stated.claimed, not holds, holds, holds)
        turn += _section(teacher.world([node], 0, step))
        known.add(node.name)
    last = label + 1 if label >= 0 else -1
    return (*turn, Segment("model", f"{CONCLUSION}{last}}}$\n"))


def _section(rationale: Rationale) -> list[Segment]:
    """A paragraph's part of a critique."""
    before = f"{rationale.analysis}\n{ANALYZE_END}<verify>\n"
    parts = []
    for made in rationale.rounds:
        parts.append(Segment("model", f"{before}{made.lead}{CODE_START}{made.source}{CODE_END}"))
        parts += [Segment("harness", OUTPUT_HEAD), Segment("code", made.output), Segment("harness", OUTPUT_TAIL)]
        before = ""
    return [*parts, Segment("model", f"{rationale.closing}{VERIFY_END}")]


def _over(stated: Stated, known: Set[str]) -> Expression:
    """What a step should compute, over variables of earlier checks where there are some, else over numbers."""
    right = stated.node.expression
    operands = tuple(o if o.name in known else replace(o, name=None) for o in right.operands)
    return replace(right, operands=operands)


def _misquoted(text: str, stated: Stated) -> str:
    """The step with another number in what it quotes too, where its calculation has another one."""
    quoted = stated.node.because[0].removesuffix(".") if stated.node.because else ""
    before, found, after = text.partition(quoted)
    right = [number(operand.value) for operand in stated.node.expression.operands]
    for mine, theirs in zip(right, [number(operand.value) for operand in stated.expression.operands], strict=False):
        if found and quoted and mine != theirs:
            return before + re.sub(rf"\b{mine}\b", theirs, quoted, count=1) + after
    return text
