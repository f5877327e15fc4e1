"""Solutions that a policy wrote as training data: what rejection sampling kept, or any file of solution records.

A record may have ``text``, the policy's whole turn as it wrote it; without it the turn is its steps, joined by its
``separator`` (a blank line unless stated). The row is the dialogue that the policy was asked with: its system turn, the
problem, our opening of the turn, what the policy wrote, the end. Only what it wrote, the end included, is trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genprm import prompts
from genprm.engines.base import Tokenizer
from genprm.errors import RecordError
from genprm.prompts import Row
from genprm.records import read_solutions
from genprm.rollout import styles
from genprm.rollout.styles import Style
from genprm.train.conversations import order
from genprm.train.options.rows import SolutionData
from genprm.types import Segment, Solution

TEXT, SEPARATOR = "text", "separator"


@dataclass(frozen=True, slots=True)
class Written:
    """One solution as a dialogue."""

    problem: str
    text: str
    """The policy's whole turn, our opening included."""
    style: Style
    system: str | None = None

    def row(self, tokenizer: Tokenizer) -> Row:
        opening = styles.opening(self.style)
        own = self.text.removeprefix("".join(segment.text for segment in opening))
        system = prompts.fill("system.policy.jinja") if self.system is None else self.system
        return prompts.answer_row(self.problem, (*opening, Segment("model", own)), tokenizer, system=system)


@dataclass(frozen=True, slots=True)
class SolutionSet:
    """Dialogues without end; ``dialogue(i)`` depends on (examples, seed, i) alone."""

    examples: tuple[Written, ...]
    seed: int = 0

    def dialogue(self, index: int) -> Written:
        epoch, place = divmod(index, len(self.examples))
        return self.examples[order(len(self.examples), self.seed, epoch)[place]]

    def texts(self, conversations: int) -> Iterator[str]:
        """What the first so many dialogues say, for a tokenizer."""
        for example in self.examples[:conversations]:
            yield from (example.problem, example.text)


def read(options: SolutionData) -> SolutionSet:
    """The solutions of a file. Raises ``RecordError``."""
    loaded = read_solutions(options.path)
    made = []
    for solution in loaded.solutions:
        given = solution.extra.get(TEXT)
        for field in (TEXT, SEPARATOR):
            if not isinstance(solution.extra.get(field, ""), str):
                raise RecordError(
                    "is no text; give what the policy wrote, or leave the field out",
                    source=loaded.source, line=loaded.lines.get(solution.id), field=field,
                )  # fmt: skip
        text = given or _joined(solution)
        made.append(Written(solution.problem, text, options.style, options.system))
    return SolutionSet(tuple(made), options.seed)


def _joined(solution: Solution) -> str:
    return str(solution.extra.get(SEPARATOR, styles.SEPARATOR)).join(solution.steps)
