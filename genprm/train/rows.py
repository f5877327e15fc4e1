"""Training rows and batches of a given size, made while the training runs.

A corpus is endless and indexable, so nothing is prepared or stored. Rows are drawn in pools of consecutive indices;
a pool is sorted by length and cut into a fixed number of batches of nearly equal size, whose order is shuffled. Little
is padded, and batch ``n`` is a pure function of (corpus, n): a training resumes at any batch at no cost.
"""

from __future__ import annotations

import hashlib
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Generic, Protocol, TypeVar

from genprm.batching import by_length, cut
from genprm.engines.base import Tokenizer
from genprm.errors import InputError
from genprm.prompts import IGNORED, Row, training_row
from genprm.types import Mode, Segment

BATCHES_PER_POOL = 32


class Conversation(Protocol):
    """One training dialogue: ``turns[t]`` judges ``steps[t]``."""

    @property
    def problem(self) -> str: ...
    @property
    def steps(self) -> tuple[str, ...]: ...
    @property
    def turns(self) -> tuple[tuple[Segment, ...], ...]: ...
    @property
    def mode(self) -> Mode: ...


class Corpus(Protocol):
    """An endless set of conversations; ``conversation(i)`` depends on i alone."""

    def conversation(self, index: int) -> Conversation: ...


class AnyRow(Protocol):
    """A training row of any kind."""

    @property
    def input_ids(self) -> tuple[int, ...]: ...


RowKind = TypeVar("RowKind", bound=AnyRow)
RowKind_co = TypeVar("RowKind_co", bound=AnyRow, covariant=True)


class Rows(Protocol[RowKind_co]):
    """An endless set of rows; ``row(i)`` depends on i alone."""

    def row(self, index: int) -> RowKind_co: ...


@dataclass(frozen=True, slots=True)
class CorpusRows:
    """The rows of a corpus: made from segments, so that code output can be left out of the loss exactly."""

    corpus: Corpus
    tokenizer: Tokenizer
    mask_code_output: bool = True

    def row(self, index: int) -> Row:
        talk = self.corpus.conversation(index)
        return training_row(
            talk.problem,
            talk.steps,
            talk.turns,
            self.tokenizer,
            mode=talk.mode,
            mask_code_output=self.mask_code_output,
        )


class Dialogue(Protocol):
    """One training dialogue that makes its own row."""

    def row(self, tokenizer: Tokenizer) -> Row: ...


class Dialogues(Protocol):
    """An endless set of dialogues; ``dialogue(i)`` depends on i alone."""

    def dialogue(self, index: int) -> Dialogue: ...


@dataclass(frozen=True, slots=True)
class DialogueRows:
    """The rows of such dialogues."""

    corpus: Dialogues
    tokenizer: Tokenizer

    def row(self, index: int) -> Row:
        return self.corpus.dialogue(index).row(self.tokenizer)


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first ``rows`` rows are like."""

    rows: int
    longest: int
    mean_tokens: float
    supervised_share: float
    """Share of the tokens that the loss counts on."""
    over_length: int
    """Rows longer than the limit: left out of the training, never cut."""
    digest: str = ""
    """Of all that the rows say."""

    def describe(self, max_length: int) -> str:
        return (
            f"{self.rows} rows surveyed: mean {self.mean_tokens:.0f} tokens, longest {self.longest}, "
            f"{self.supervised_share:.0%} of the tokens trained on, "
            f"{self.over_length} rows over {max_length} tokens (left out)"
        )


def trained_tokens(row: Row) -> int:
    """How many tokens of a row the loss counts on."""
    return sum(label != IGNORED for label in row.labels)


def survey(
    rows: Rows[RowKind],
    count: int,
    max_length: int,
    first: int = 0,
    trained_of: Callable[[RowKind], int] = trained_tokens,  # type: ignore[assignment]
) -> Survey:
    """Lengths of ``count`` rows from ``first`` on; means are over those that fit. ``InputError`` if none does."""
    longest = fitting = tokens = trained = 0
    seen = hashlib.blake2b(digest_size=16)
    for index in range(first, first + count):
        row = rows.row(index)
        seen.update(repr(row).encode())
        length = len(row.input_ids)
        longest = max(longest, length)
        if length <= max_length:
            fitting += 1
            tokens += length
            trained += trained_of(row)
    if not fitting:
        raise InputError(f"every one of {count} rows is longer than max_length {max_length} (longest {longest})")
    if trained == 0:
        raise InputError(f"none of {count} rows has a token to train on; check the data")
    return Survey(count, longest, tokens / fitting, trained / tokens, count - fitting, seen.hexdigest())


def partition(lengths: Sequence[int], batches: int) -> list[list[int]]:
    """Indices of ``lengths`` in ``batches`` groups of like length and nearly equal padded size (rows x longest).

    Fewer groups come back only when there are fewer rows than groups.
    """
    order = by_length(lengths)
    low, high = 1, max(1, len(lengths)) * max([1, *lengths])
    while low < high:
        middle = (low + high) // 2
        if len(cut(order, lengths, middle)) <= batches:
            high = middle
        else:
            low = middle + 1
    groups = cut(order, lengths, low)
    while len(groups) < min(batches, len(order)):
        largest = max(range(len(groups)), key=lambda index: len(groups[index]))
        group = groups[largest]
        groups[largest : largest + 1] = [group[: len(group) // 2], group[len(group) // 2 :]]
    return groups


@dataclass(frozen=True, slots=True)
class Batches(Generic[RowKind]):
    """Batches of rows, without end. Each row of a data set is seen once before any is seen twice."""

    rows: Rows[RowKind]
    pool: int
    """Rows to a pool; of a data set, about."""
    max_length: int
    seed: int = 0
    by_rows: bool = False
    """Batches of a pool have equally many rows; else their padded sizes are alike."""
    size: int | None = None
    """Rows of a data set; its pools divide it, and have a batch for every so many rows."""
    edges: tuple[int, ...] = (0, BATCHES_PER_POOL)
    """Where the batches of the pools of a pass begin, and where the last of them ends; of one pool without a data set.
    """

    @classmethod
    def sized(
        cls, rows: Rows[RowKind], rows_per_batch: float, max_length: int, seed: int, size: int | None = None
    ) -> Batches[RowKind]:
        """Batches that hold so many rows on average, and at least one. ``size``: rows of a data set."""
        pool = max(BATCHES_PER_POOL, round(BATCHES_PER_POOL * rows_per_batch))
        if size is None:
            return cls(rows, pool, max_length, seed)
        pools = max(1, round(size / pool))
        edges = _edges(size, pools, lambda held: max(1, round(held / rows_per_batch)))
        return cls(rows, pool, max_length, seed, size=size, edges=edges)

    @classmethod
    def counted(
        cls, rows: Rows[RowKind], rows_per_batch: int, max_length: int, seed: int, size: int | None = None
    ) -> Batches[RowKind]:
        """Batches of ``rows_per_batch`` rows, fewer where a pool does not divide or has rows that are too long."""
        pool = BATCHES_PER_POOL * rows_per_batch
        if size is None:
            return cls(rows, pool, max_length, seed, by_rows=True)
        edges = _edges(size, max(1, round(size / pool)), lambda held: math.ceil(held / rows_per_batch))
        return cls(rows, pool, max_length, seed, by_rows=True, size=size, edges=edges)

    def steps(self, epochs: float, at_once: int) -> int:
        """Steps of ``at_once`` batches each in so many passes over a data set."""
        return math.ceil(epochs * self.edges[-1] / at_once)

    def iterate(self, first: int = 0, stride: int = 1) -> Iterator[list[RowKind]]:
        """Batch ``first``, ``first + stride`` and so on: each of several processes takes its own."""
        current, groups = -1, [[]]  # type: tuple[int, list[list[RowKind]]]
        number = first
        while True:
            done, rest = divmod(number, self.edges[-1])
            part = bisect_right(self.edges, rest) - 1
            pool, place = done * (len(self.edges) - 1) + part, rest - self.edges[part]
            if pool != current:
                current, groups = pool, self._groups(pool)
            yield groups[place % len(groups)]
            number += stride

    def _indices(self, pool: int) -> range:
        """The rows of a pool."""
        if self.size is None:
            return range(pool * self.pool, (pool + 1) * self.pool)
        pools = len(self.edges) - 1
        done, part = divmod(pool, pools)
        first, last = (self.size * edge // pools for edge in (part, part + 1))
        return range(done * self.size + first, done * self.size + last)

    def _groups(self, pool: int) -> list[list[RowKind]]:
        made = [self.rows.row(index) for index in self._indices(pool)]
        fitting = [row for row in made if len(row.input_ids) <= self.max_length]
        if not fitting:
            raise InputError(f"no row of a pool of {len(made)} fits into {self.max_length} tokens; raise max_length")
        lengths = [len(row.input_ids) for row in fitting]
        part = pool % (len(self.edges) - 1)
        count = self.edges[part + 1] - self.edges[part]
        groups = _equal_groups(lengths, count) if self.by_rows else partition(lengths, count)
        random.Random(f"batches {self.seed} {pool}").shuffle(groups)
        return [[fitting[index] for index in group] for group in groups]


def _edges(size: int, pools: int, batches: Callable[[int], int]) -> tuple[int, ...]:
    """Where the batches of each pool begin. ``batches``: of how many rows a pool holds."""
    held = (size * (part + 1) // pools - size * part // pools for part in range(pools))
    return tuple(accumulate(map(batches, held), initial=0))


def _equal_groups(lengths: Sequence[int], groups: int) -> list[list[int]]:
    """So many groups of like length and equally many rows; fewer where there are fewer rows."""
    order, count = by_length(lengths), min(groups, len(lengths))
    bounds = [len(order) * place // count for place in range(count + 1)]
    return [order[start:end] for start, end in pairwise(bounds)]
