"""A data set of conversations as training data: what ``genprm curate`` exported, or GenPRM-MATH-Data.

A training reads endless rows, so the data set is repeated, epoch after epoch, each in an order of its own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from genprm.curate.released import Example, GenPRMData, load_genprm_data
from genprm.rationale.format import Rationale
from genprm.train.options.rows import ConversationData


@dataclass(frozen=True, slots=True)
class ConversationSet:
    """Conversations without end; ``conversation(i)`` depends on (examples, seed, i) alone."""

    examples: tuple[Example, ...]
    seed: int = 0

    def conversation(self, index: int) -> Example:
        epoch, place = divmod(index, len(self.examples))
        return self.examples[order(len(self.examples), self.seed, epoch)[place]]

    def texts(self, conversations: int) -> Iterator[str]:
        """What the first so many conversations say, for a tokenizer."""
        for index in range(min(conversations, len(self.examples))):
            example = self.conversation(index)
            yield example.problem
            yield from example.steps
            yield from (segment.text for turn in example.turns for segment in turn)


def read(options: ConversationData) -> tuple[ConversationSet, GenPRMData]:
    """The conversations to train on, and all that was read. Raises ``InputError`` as ``load_genprm_data`` does."""
    data = load_genprm_data(options.path)
    kept = share_of(data.examples, options.share, options.seed)
    return ConversationSet(tuple(map(direct, kept)) if options.direct else kept, options.seed), data


def share_of(examples: Sequence[Example], share: float, seed: int) -> tuple[Example, ...]:
    """A random share, rounded up, in the given order. A smaller share of the same seed is part of a larger."""
    ranked = random.Random(f"share {seed}").sample(range(len(examples)), len(examples))
    return tuple(examples[place] for place in sorted(ranked[: math.ceil(share * len(examples))]))


def direct(example: Example) -> Example:
    """The same conversation with the judgements alone: what a verifier without reasoning learns from."""
    return Example(
        example.problem, example.steps, tuple(Rationale(None, (), one.judgement) for one in example.rationales)
    )


@lru_cache(maxsize=4)
def order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    """In which order an epoch takes so many examples."""
    return tuple(random.Random(f"epoch {seed} {epoch}").sample(range(count), count))
