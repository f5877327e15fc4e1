"""Consensus: a solution is kept where independent sources name the same first wrong step. Pure.

GenPRM's rule takes labels from relative progress and compares them with the annotator that wrote the rationales; it
drops about half of all solutions. The rule of "The Lessons of Developing Process Reward Models" compares the first
error by Monte Carlo, by a judge and by people; it keeps about 40 %. What the papers leave open is a setting or is
stated here. ``SiblingConsensus`` asks the other samples of the problem in place of completions; ``Believed`` asks no
agreement, it weighs all that is known (see ``posterior``). Every stage writes down the index that was settled on,
which later stages and exports go by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from genprm.curate.counts import Counts
from genprm.curate.evidence import Candidate
from genprm.curate.filters import Answer, Answers, OneByOne
from genprm.curate.judge import Majority, majority
from genprm.curate.posterior import UNSAID, Votes, first_errors
from genprm.errors import InputError
from genprm.types import Judgement, Rollout

Compare = Literal["first-error", "all"]


def annotator_index(candidate: Candidate) -> Majority:
    """The annotator's index: what most of its votes name; without votes, its first written No.

    A vote beyond the last step counts as unparsable. Without votes the index is None when the annotator stopped before
    it found an error.
    """
    steps = len(candidate.solution.steps)
    if candidate.votes:
        return majority([vote if vote is not None and -1 <= vote < steps else None for vote in candidate.votes])
    written = candidate.judgements
    if "No" in written:
        return Majority(written.index("No"), 0, 0, False)
    return Majority(-1 if len(written) == steps and None not in written else None, 0, 0, False)


def implied_labels(index: int, steps: int) -> tuple[int, ...]:
    """The labels that a first-error index implies: right up to it, wrong from it on."""
    right = steps if index == -1 else index
    return (1,) * right + (0,) * (steps - right)


@dataclass(frozen=True, slots=True)
class GenPRMConsensus:
    """Keeps a solution where every step label equals the annotator's; drops it whole otherwise.

    ``compare="first-error"`` compares the steps up to the first label 0, and all if there is none; ``"all"`` compares
    all steps with the labels that the annotator's index implies (so labels that rise again, 1 0 1, never pass). The
    judgements that the annotator wrote must say the same on the compared steps, for they will be trained on. The
    funnel shows how many agree under either setting.

    Reasons: ``votes-tied``, ``votes-unparsable`` (none can be read), ``annotator-silent`` (neither votes nor a full
    set of judgements), ``labels-unknown``, ``labels-differ``, ``judgement-differs``.
    """

    compare: Compare = "first-error"
    name: ClassVar[str] = "genprm-consensus"

    def __post_init__(self) -> None:
        if self.compare not in ("first-error", "all"):
            raise InputError(f"compare is '{self.compare}'; it must be 'first-error' or 'all'")

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        votes = [annotator_index(candidate) for candidate in candidates]
        each = [self._answer(candidate, vote) for candidate, vote in zip(candidates, votes, strict=True)]
        pairs = [(candidate, vote.index) for candidate, vote in zip(candidates, votes, strict=True)]
        return Answers(
            each,
            {
                "labels agree up to the first error": sum(
                    _differs(one, index, "first-error") is None for one, index in pairs
                ),
                "labels agree on all steps": sum(_differs(one, index, "all") is None for one, index in pairs),
                "annotator votes": sum(vote.votes for vote in votes),
                "unparsable votes": sum(vote.unparsable for vote in votes),
            },
        )

    def _answer(self, candidate: Candidate, vote: Majority) -> Answer:
        if vote.index is None:
            return _silence(vote)
        differs = _differs(candidate, vote.index, self.compare)
        if differs is not None:
            return differs
        return _settled(candidate, vote.index, to_the_end=self.compare == "all")


def _differs(candidate: Candidate, index: int | None, compare: Compare) -> str | None:
    """Why labels and index do not agree; None where they do."""
    labels = candidate.labels
    if index is None:
        return "annotator-silent"
    if candidate.first_error is None or (compare == "all" and None in labels):
        return "labels-unknown"
    same = candidate.first_error == index if compare == "first-error" else labels == implied_labels(index, len(labels))
    return None if same else "labels-differ"


def _silence(vote: Majority) -> str:
    """Why an annotator names no index."""
    return "votes-tied" if vote.tied else "votes-unparsable" if vote.votes else "annotator-silent"


def _settled(candidate: Candidate, index: int, *, to_the_end: bool = False) -> Answer:
    """The candidate with the index, unless a judgement that will be trained on says otherwise: up to the error, or to
    the end."""
    steps = len(candidate.solution.steps)
    compared = steps if to_the_end or index == -1 else index + 1
    if _contradicted(candidate.judgements[:compared], implied_labels(index, steps)):
        return "judgement-differs"
    return replace(candidate, agreed=index)


def _contradicted(judgements: Sequence[Judgement | None], labels: Sequence[int]) -> bool:
    pairs = zip(judgements, labels, strict=False)
    return any(judgement is not None and (judgement == "Yes") != (label == 1) for judgement, label in pairs)


@dataclass(frozen=True, slots=True)
class LessonsConsensus(OneByOne):
    """Keeps a solution where Monte Carlo, judge and people name the same first wrong step ("none" is one, too).

    ``agree="two"``: any two of the three, whatever the third says (published with Monte Carlo and the judge).
    ``"all"``: all three. Reasons: ``index-missing`` (too few of them are known) and ``indices-differ``.
    """

    agree: Literal["two", "all"] = "two"
    name: ClassVar[str] = "lessons-consensus"

    def __post_init__(self) -> None:
        if self.agree not in ("two", "all"):
            raise InputError(f"agree is '{self.agree}'; it must be 'two' or 'all'")

    def answer(self, candidate: Candidate) -> Answer:
        known = [index for index in (candidate.first_error, candidate.judge, candidate.human) if index is not None]
        needed = 2 if self.agree == "two" else 3
        if len(known) < needed:
            return "index-missing"
        index, count = Counter(known).most_common(1)[0]
        return replace(candidate, agreed=index) if count >= needed else "indices-differ"


@dataclass(frozen=True, slots=True)
class SiblingConsensus(OneByOne):
    """Keeps a solution where the annotator names the first step that other samples of its problem contradict.

    "None" is an agreement, too. Judgements that the annotator wrote must say the same up to the error, for they will be
    trained on. Reasons: ``votes-tied``, ``votes-unparsable``, ``annotator-silent``, ``siblings-missing``,
    ``indices-differ``, ``judgement-differs``.
    """

    name: ClassVar[str] = "sibling-consensus"

    def answer(self, candidate: Candidate) -> Answer:
        vote = annotator_index(candidate)
        if vote.index is None:
            return _silence(vote)
        if candidate.siblings is None:
            return "siblings-missing"
        if candidate.siblings != vote.index:
            return "indices-differ"
        return _settled(candidate, vote.index)


@dataclass(frozen=True, slots=True)
class Believed:
    """Keeps a solution whose likeliest first error has a probability of at least ``least``, given all that is known.

    Monte Carlo counts, other samples, the annotator's votes and the judge's are weighed by what they turn out to be
    worth on these candidates (``posterior.first_errors``). Judgements that the annotator wrote must say the same up to
    the error, for they will be trained on. Reasons: ``counts-missing``, ``unsure``, ``judgement-differs``.
    """

    least: float = 0.9
    name: ClassVar[str] = "belief"

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise InputError(f"least is {self.least}; it must be above 0 and at most 1")

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        counted = [candidate for candidate in candidates if candidate.counts]
        if not counted:
            return Answers(["counts-missing"] * len(candidates))
        found = first_errors(columns(counted), sources(counted))
        pairs = zip(found.index.tolist(), found.belief.tolist(), strict=True)
        beliefs = dict(zip((one.id for one in counted), pairs, strict=True))
        return Answers([self._answer(candidate, *beliefs.get(candidate.id, (None, 0.0))) for candidate in candidates])

    def _answer(self, candidate: Candidate, index: int | None, belief: float) -> Answer:
        if index is None:
            return "counts-missing"
        if belief < self.least:
            return "unsure"
        return _settled(candidate, index)


def columns(candidates: Sequence[Candidate]) -> Counts:
    """The counts of candidates, each of which must have some."""
    rows = []
    for one in candidates:
        for step, (correct, total) in enumerate(one.counts, start=-1):
            # Solutions of one problem share its row: a key that comes twice counts once.
            key, name = ("", one.id) if step >= 0 else (f"problem {one.problem_key}", one.problem_key)
            rows.append(Rollout(key, name, one.problem_key, step, "", total, correct, total, 0, 0))
    return Counts.from_rollouts(rows)


def sources(candidates: Sequence[Candidate]) -> dict[str, Votes]:
    """What the annotator, the judge and the other samples say, as far as they say anything."""
    said = {
        "annotator": [(annotator_index(one), one.votes) for one in candidates],
        "judge": [(majority(one.judge_votes), one.judge_votes) for one in candidates],
    }
    found = {
        name: Votes.of([index for index, _ in pairs], [len(set(votes)) == 1 for _, votes in pairs])
        for name, pairs in said.items()
        if any(index.index is not None for index, _ in pairs)
    }
    if any(one.siblings is not None for one in candidates):
        indices = np.array([UNSAID if one.siblings is None else one.siblings for one in candidates])
        found["siblings"] = Votes(indices, np.array([one.siblings_sure for one in candidates]))
    return found
