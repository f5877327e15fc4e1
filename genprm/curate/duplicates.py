"""Duplicates: of solutions that say the same, one is kept. Pure, and near-linear in their number.

Two solutions are near-duplicates when the sets of their runs of five words (over all steps) have a Jaccard similarity
of at least ``similarity``. Pairs are found by MinHash: 80 hashes in 16 bands of 5, so that of pairs at 0.9 all but one
in a million are looked at, and of those at 0.8 all but two in a thousand. Each pair found is compared exactly before
anything is dropped, so nothing is dropped that is not a near-duplicate of something kept.

A solution that differs from another in one number can be the most valuable thing to train on: one is right, the other
wrong. So only solutions with the same first error are compared.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genprm.curate.evidence import Candidate
from genprm.curate.filters import Answer, Answers
from genprm.curate.texts import words
from genprm.errors import InputError

Hashes: TypeAlias = NDArray[np.uint64]

RUN = 5
"""Words of a run."""
BANDS, ROWS = 16, 5
LEAST = 0.7
"""Similarity below which the bands miss more than one pair in twenty."""
CROWD = 50
"""Solutions of one band's bucket that a new one is compared with: bounds the work on data made from few templates,
where near-duplicates may then be missed; duplicates never are."""

_RNG = np.random.Generator(np.random.PCG64(20240613))
_FACTORS: Hashes = _RNG.integers(1, 2**63, (BANDS * ROWS, 1), dtype=np.uint64) | np.uint64(1)
_OFFSETS: Hashes = _RNG.integers(0, 2**63, (BANDS * ROWS, 1), dtype=np.uint64)
_POWERS: Hashes = _RNG.integers(1, 2**63, RUN, dtype=np.uint64) | np.uint64(1)
_SALTS: Hashes = _RNG.integers(0, 2**63, BANDS, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Keeps one of every group of solutions that say the same with the same first error.

    The one whose id comes first stays. Reasons: ``duplicate`` (the same words) and ``near-duplicate``. Raises
    ``InputError`` for a similarity outside [0.7, 1].
    """

    similarity: float = 0.9
    name: ClassVar[str] = "near-duplicates"

    def __post_init__(self) -> None:
        if not LEAST <= self.similarity <= 1:
            raise InputError(f"the similarity of duplicates is {self.similarity}; give one from {LEAST} to 1")

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        groups: dict[int | None, list[Candidate]] = defaultdict(list)
        for candidate in sorted(candidates, key=lambda one: one.id):
            groups[candidate.error].append(candidate)
        reasons: dict[str, str | None] = {}
        compared = 0
        for group in groups.values():  # one after the other, so that what was kept of one is let go
            seen = _Seen(self.similarity)
            reasons.update({one.id: seen.reason(one) for one in group})
            compared += seen.compared
        each: list[Answer] = [reasons[candidate.id] or candidate for candidate in candidates]
        return Answers(each, {"pairs compared": compared})


class _Seen:
    """The solutions of one group that are kept so far, to be found by what they say."""

    def __init__(self, similarity: float) -> None:
        self.similarity = similarity
        self.compared = 0
        self.vocabulary: dict[str, int] = {}
        self.texts: set[bytes] = set()
        self.kept: list[Hashes] = []
        self.buckets: dict[int, tuple[int, ...]] = {}

    def reason(self, candidate: Candidate) -> str | None:
        """Why the candidate is dropped; None keeps it, for those after it to be compared with."""
        said = words("\n".join(candidate.solution.steps))
        text = hashlib.blake2b(" ".join(said).encode("utf-8", "replace"), digest_size=16).digest()
        if text in self.texts:
            return "duplicate"
        self.texts.add(text)
        runs = self.runs(said)
        # A bucket is known by a hash: where two fall together, one more pair is compared, and no harm is done.
        buckets: list[int] = (signature(runs) @ _POWERS[:ROWS] + _SALTS).tolist()
        others = {number for bucket in buckets for number in self.buckets.get(bucket, ())}
        self.compared += len(others)
        if any(jaccard(runs, self.kept[number]) >= self.similarity for number in others):
            return "near-duplicate"
        for bucket in buckets:
            there = self.buckets.get(bucket, ())
            if len(there) < CROWD:
                self.buckets[bucket] = (*there, len(self.kept))
        self.kept.append(runs)
        return None

    def runs(self, said: Sequence[str]) -> Hashes:
        """The runs of five words of a text as sorted distinct hashes; of a shorter text, its words as one run."""
        padded = [*said, *[""] * (RUN - len(said))]
        hashes = np.fromiter((self.hash(word) for word in padded), np.uint64, len(padded))
        found: Hashes = np.unique(np.lib.stride_tricks.sliding_window_view(hashes, RUN) @ _POWERS)
        return found

    def hash(self, word: str) -> int:
        # Python's own hash differs between processes.
        found = self.vocabulary.get(word)
        if found is None:
            found = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")
            self.vocabulary[word] = found
        return found


def signature(runs: Hashes) -> Hashes:
    """The MinHash signature, ``(BANDS, ROWS)``, of a set of hashes."""
    # The high half of a product of odd factors: the low bits mix too little.
    smallest = ((runs * _FACTORS + _OFFSETS) >> np.uint64(32)).min(axis=1)
    bands: Hashes = smallest.reshape(BANDS, ROWS)
    return bands


def jaccard(one: Hashes, other: Hashes) -> float:
    """The Jaccard similarity of two sets, each sorted and distinct."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)
