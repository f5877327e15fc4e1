"""Where a solution first goes wrong, as a probability of every step: all that is known weighed together. Pure.

Every published rule cuts Monte Carlo values at one threshold, and a consensus asks that sources agree. Here the first
wrong step e of a solution is hidden and what was seen of it is not: the counts after each step, the annotator's index,
the judge's. How each of them depends on e is learned from the data themselves by expectation maximisation (Dawid and
Skene's model of several observers, with a change point for the counts); no truth is needed.

* A step is *right* (before e), *breaks* (is e) or comes *after*. Its counts are binomial in a success probability drawn
  from a distribution of that case, of the share just before the step (in bins) and of whether the step is the last. So
  a fall from .9 to .4 says more than one from .1 to 0, and how much more is learned.
* A source names e with some probability, says "no error" with some, or names another step; separately where its votes
  are of one mind and where they are not.
* Solutions go wrong at every step with one probability.

    found = first_errors(counts, {"annotator": votes})
    found.index, found.belief      # (solutions,): the likeliest first error, -1 for none, and its probability
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genprm.curate.counts import Counts, Ints
from genprm.curate.judge import Majority
from genprm.curate.rules import rpe_ratio
from genprm.errors import InputError
from genprm.evaluate.statistics import Floats

SHARES = np.array([0.004, 0.02, 0.05, 0.1, 0.18, 0.28, 0.39, 0.5, 0.61, 0.72, 0.82, 0.9, 0.95, 0.98, 0.996])
"""The success probabilities that a prefix may have."""
_EDGES = np.array([0.0, 0.1, 0.25, 0.5, 0.75])
"""Bins of the share before a step: 0 alone, then up to each edge, then the rest."""
_CASES = RIGHT, BREAKS, AFTER = 0, 1, 2
_POOLED = 8.0
"""Weight, in steps, that a bin's distribution gives to that of all bins."""
_SETTLED = 0.002
"""When no probability moves by more in a round, nothing more is learned."""
_SURE = 0.8
"""What a source is taken to be worth before anything is learned."""


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """What one source says of each solution."""

    index: Ints
    """(solutions,): the first wrong step, -1 for none, -2 where it says nothing."""
    unanimous: NDArray[np.bool_]
    """(solutions,): all of its votes name that index."""

    @classmethod
    def of(cls, majorities: Sequence[Majority], unanimous: Sequence[bool]) -> Votes:
        index = [-2 if one.index is None else one.index for one in majorities]
        return cls(np.array(index, dtype=np.int64), np.array(unanimous, dtype=bool))


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """First errors of solutions, in the order of the counts."""

    probabilities: Floats
    """(solutions, longest + 1): of a first error at each step, and in the last column of none; 0 beyond the end."""
    hazard: float
    """Probability that a step goes wrong, if all before it are right."""
    sources: Mapping[str, Floats]
    """(2, 3) of each source, votes divided and of one mind: names the step, finds one where none is, misses one."""

    @property
    def index(self) -> Ints:
        """(solutions,): the likeliest first wrong step, -1 for none."""
        best: Ints = self.probabilities.argmax(axis=1).astype(np.int64)
        return np.where(best == self.probabilities.shape[1] - 1, -1, best)

    @property
    def belief(self) -> Floats:
        """(solutions,): the probability of that index."""
        found: Floats = self.probabilities.max(axis=1)
        return found


def first_errors(counts: Counts, sources: Mapping[str, Votes], *, rounds: int = 60) -> Posterior:
    """The posterior of every solution's first error. Raises ``InputError`` where a source does not fit the counts."""
    for name, votes in sources.items():
        if votes.index.shape != (len(counts.ids),) or (votes.index >= counts.lengths).any():
            raise InputError(f"the votes of '{name}' do not fit {len(counts.ids)} solutions; give one index in each")
    seen = _Seen.of(counts)
    belief = _first_belief(counts, seen, sources)
    for _ in range(rounds):
        hazard = _hazard(seen, belief)
        score = seen.prior(hazard) + seen.scores(belief)
        learned = {name: _learned(seen, votes, belief) for name, votes in sources.items()}
        for name, votes in sources.items():
            score += _vote_scores(seen, votes, learned[name])
        before, belief = belief, _normalised(score, seen.possible)
        if np.abs(belief - before).max() < _SETTLED:
            break
    return Posterior(belief, hazard, learned)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The counts as arrays of (solutions, longest); ``possible``: (solutions, longest + 1), the last for no error."""

    lengths: Ints
    inside: NDArray[np.bool_]
    fits: Floats
    """(solutions, longest, shares): log probability of a step's counts, up to a constant."""
    context: Ints
    """(solutions, longest): bin of the share before a step, and whether the step is the last."""

    @classmethod
    def of(cls, counts: Counts) -> _Seen:
        lengths = counts.lengths
        inside = np.arange(int(lengths.max())) < lengths[:, None]
        chain = counts.chain()
        before = np.divide(chain.before_correct, chain.before_total, out=np.zeros(len(chain.total)),
                           where=chain.before_total > 0)  # fmt: skip
        contexts = np.searchsorted(_EDGES, before, side="left") + (len(_EDGES) + 1) * counts.last
        fits = chain.correct[:, None] * np.log(SHARES) + (chain.total - chain.correct)[:, None] * np.log1p(-SHARES)
        padded = np.zeros((*inside.shape, len(SHARES)))
        context = np.zeros(inside.shape, dtype=np.int64)
        padded[inside], context[inside] = fits, contexts
        return cls(lengths, inside, padded, context)

    @property
    def possible(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.concatenate([self.inside, np.ones((len(self.inside), 1), dtype=bool)], axis=1)
        return found

    def prior(self, hazard: float) -> Floats:
        """(solutions, longest + 1): log probability of each first error."""
        places = np.arange(self.inside.shape[1])
        steps = places * np.log1p(-hazard) + np.log(hazard)
        none = self.lengths[:, None] * np.log1p(-hazard)
        found: Floats = np.concatenate([np.broadcast_to(steps, self.inside.shape), none], axis=1)
        return found

    def scores(self, belief: Floats) -> Floats:
        """(solutions, longest + 1): log probability of all counts for each first error, by what ``belief`` teaches."""
        cases = self._cases(belief)
        each = [np.where(self.inside, self._logs(cases[case]), 0.0) for case in _CASES]
        before = np.concatenate([np.zeros((len(self.inside), 1)), np.cumsum(each[RIGHT], axis=1)], axis=1)
        after = np.concatenate([np.cumsum(each[AFTER][:, ::-1], axis=1)[:, ::-1], np.zeros((len(self.inside), 1))], 1)
        found: Floats = np.empty_like(before)
        found[:, :-1] = before[:, :-1] + each[BREAKS] + after[:, 1:]
        found[:, -1] = before[:, -1]
        return found

    def _cases(self, belief: Floats) -> list[Floats]:
        """How likely each step is in each case: (solutions, longest) each."""
        broken = np.cumsum(belief[:, :-1], axis=1)
        return [1 - broken, belief[:, :-1], broken - belief[:, :-1]]

    def _logs(self, weight: Floats) -> Floats:
        """(solutions, longest): log probability of each step's counts in a case, learned from steps that seem in it."""
        bins = 2 * (len(_EDGES) + 1)
        mixed = np.full((bins, len(SHARES)), 1 / len(SHARES))
        likelihood = np.exp(self.fits - self.fits.max(axis=2, keepdims=True))
        flat, where, heavy = likelihood[self.inside], self.context[self.inside], weight[self.inside]
        for _ in range(4):
            share = flat * mixed[where]
            share *= (heavy / share.sum(axis=1))[:, None]
            totals = np.zeros_like(mixed)
            np.add.at(totals, where, share)
            mixed = self._smoothed(totals)
        logs = np.zeros(self.inside.shape)
        top = self.fits.max(axis=2)[self.inside]
        logs[self.inside] = np.log((flat * mixed[where]).sum(axis=1)) + top
        return logs

    @staticmethod
    def _smoothed(totals: Floats) -> Floats:
        """Distributions of the bins, drawn to that of all bins of the same kind: last steps, and the others."""
        half = len(totals) // 2
        kind = np.repeat([totals[:half].sum(axis=0), totals[half:].sum(axis=0)], half, axis=0) + 0.1
        found: Floats = totals + _POOLED * kind / kind.sum(axis=1, keepdims=True)
        found /= found.sum(axis=1, keepdims=True)
        return found


def _first_belief(counts: Counts, seen: _Seen, sources: Mapping[str, Votes]) -> Floats:
    """What the sources and relative progress say, each taken to be right four times in five."""
    labels = np.ones(seen.inside.shape, dtype=bool)
    labels[seen.inside] = rpe_ratio(counts.chain())
    wrong = ~labels & seen.inside
    progress = np.where(wrong.any(axis=1), wrong.argmax(axis=1), -1)
    sure = np.array([[_SURE, 1 - _SURE, (1 - _SURE) / 2]] * 2)
    score = seen.prior(0.15)
    for votes in (*sources.values(), Votes(progress, np.zeros(len(progress), dtype=bool))):
        score = score + _vote_scores(seen, votes, sure)
    return _normalised(score, seen.possible)


def _hazard(seen: _Seen, belief: Floats) -> float:
    wrong = belief[:, :-1].sum()
    tried = (1 - (np.cumsum(belief[:, :-1], axis=1) - belief[:, :-1]))[seen.inside].sum()
    return float((wrong + 1) / (tried + 2))


def _learned(seen: _Seen, votes: Votes, belief: Floats) -> Floats:
    """(2, 3): how a source votes, by whether it is of one mind (see ``Posterior.sources``)."""
    place = np.where(votes.index == -1, seen.inside.shape[1], votes.index)
    says = votes.index > -2
    named = np.where(says, belief[np.arange(len(place)), np.where(says, place, 0)], 0.0)
    error = 1 - belief[:, -1]
    found = np.empty((2, 3))
    for level, chosen in enumerate((says & ~votes.unanimous, says & votes.unanimous)):
        with_error, without = error[chosen].sum(), belief[chosen, -1].sum()
        finds = votes.index >= 0
        found[level] = (
            (named[chosen & finds].sum() + 4 * _SURE) / (with_error + 4),
            (belief[chosen & finds, -1].sum() + 4 * (1 - _SURE)) / (without + 4),
            (error[chosen & ~finds].sum() + 2 * (1 - _SURE)) / (with_error + 4),
        )
    return found


def _vote_scores(seen: _Seen, votes: Votes, learned: Floats) -> Floats:
    """(solutions, longest + 1): log probability of a source's index for each first error."""
    hit, alarm, miss = learned[votes.unanimous.astype(np.int64)].T[:, :, None]
    steps = seen.lengths[:, None]
    places = np.arange(seen.inside.shape[1])
    index = votes.index[:, None]
    other = np.clip(1 - hit - miss, 1e-6, 1) / np.maximum(steps - 1, 1)
    wrong = np.where(index == -1, miss, np.where(index == places, hit, other))
    none = np.where(index == -1, 1 - alarm, alarm / steps)
    score: Floats = np.log(np.concatenate([np.broadcast_to(wrong, seen.inside.shape), none], axis=1))
    score[votes.index == -2] = 0.0
    return score


def _normalised(score: Floats, possible: NDArray[np.bool_]) -> Floats:
    score = np.where(possible, score, -np.inf)
    found: Floats = np.exp(score - score.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    return found
