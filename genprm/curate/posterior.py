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
* Longer solutions go wrong more often, at any step alike; one whose answer is known to be wrong has gone wrong.
* Counts alone do not say which case is the good one: a set of hard solutions can be explained as well with the cases
  exchanged. So each case is given some steps of what it means to begin with (a right step keeps most of the value, a
  break does not, behind it the value does not rise), and relative progress stays a weak witness in every round.

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
_MIDDLES = np.array([0.0, 0.05, 0.18, 0.38, 0.62, 0.87])
"""About the share that each bin stands for."""
_GIVEN = 8.0
"""Steps of what it means that each case has in each bin before anything is learned."""
_UNLIKE = 0.15
"""How likely a share is there that is not what the case means, against one that is."""
_ANCHOR = 0.2
"""Weight of relative progress as a witness. It is made of the same counts, so more would count them twice."""
_SETTLED = 0.002
"""When no probability moves by more in a round, nothing more is learned."""
UNSAID = -2
"""Index of a source that says nothing of a solution."""
LEAST = 50
"""Solutions that are needed to learn from."""
_SURE = 0.8
"""What a source is taken to be worth before anything is learned."""


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """What one source says of each solution."""

    index: Ints
    """(solutions,): the first wrong step, -1 for none, ``UNSAID`` where it says nothing."""
    unanimous: NDArray[np.bool_]
    """(solutions,): all of its votes name that index."""

    @classmethod
    def of(cls, majorities: Sequence[Majority], unanimous: Sequence[bool]) -> Votes:
        index = [UNSAID if one.index is None else one.index for one in majorities]
        return cls(np.array(index, dtype=np.int64), np.array(unanimous, dtype=bool))


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """First errors of solutions, in the order of the counts."""

    probabilities: Floats
    """(solutions, longest + 1): of a first error at each step, and in the last column of none; 0 beyond the end."""
    hazard: float
    """Probability that a step goes wrong: a solution of n steps has no error with (1 - hazard) ** n."""
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
        fits = votes.index.shape == (len(counts.ids),)
        if not fits or (votes.index >= counts.lengths).any() or (votes.index < UNSAID).any():
            raise InputError(f"the votes of '{name}' do not fit {len(counts.ids)} solutions; give one index in each")
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; it must be at least 1")
    seen = _Seen.of(counts)
    sure = np.array([[_SURE, 1 - _SURE, (1 - _SURE) / 2]] * 2)
    progress = _vote_scores(seen, _progress(counts, seen), sure)
    start = seen.prior(0.15) + progress + sum(_vote_scores(seen, votes, sure) for votes in sources.values())
    belief = _normalised(start, seen.possible)
    for _ in range(rounds):
        hazard = _hazard(seen, belief)
        score = seen.prior(hazard) + seen.scores(belief) + _ANCHOR * progress
        learned = {name: _learned(seen, votes, belief) for name, votes in sources.items()}
        for name, votes in sources.items():
            score += _vote_scores(seen, votes, learned[name])
        before, belief = belief, _normalised(score, seen.possible)
        if np.abs(belief - before).max() < _SETTLED:
            break
    return Posterior(belief, hazard, learned)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The counts as arrays: of (solutions, longest), and of (steps,) behind one another."""

    lengths: Ints
    inside: NDArray[np.bool_]
    possible: NDArray[np.bool_]
    """(solutions, longest + 1): the first errors that can be; last, none at all: not where the answer is wrong."""
    fits: Floats
    """(steps, shares): how well each share explains a step's counts, 1 for the best."""
    top: Floats
    """(steps,): log probability of the counts at the best share, up to a constant."""
    context: Ints
    """(steps,): bin of the share before a step, and whether the step is the last."""

    @classmethod
    def of(cls, counts: Counts) -> _Seen:
        lengths = counts.lengths
        inside = np.arange(int(lengths.max())) < lengths[:, None]
        chain = counts.chain()
        before = np.divide(chain.before_correct, chain.before_total, out=np.zeros(len(chain.total)),
                           where=chain.before_total > 0)  # fmt: skip
        context = np.searchsorted(_EDGES, before, side="left") + (len(_EDGES) + 1) * counts.last
        fits = chain.correct[:, None] * np.log(SHARES) + (chain.total - chain.correct)[:, None] * np.log1p(-SHARES)
        top = fits.max(axis=1)
        possible = np.concatenate([inside, (counts.answer != 0)[:, None]], axis=1)
        return cls(lengths, inside, possible, np.exp(fits - top[:, None]), top, context)

    def prior(self, hazard: float) -> Floats:
        """(solutions, longest + 1): log probability of each first error."""
        steps = self.lengths[:, None]
        none = steps * np.log1p(-hazard)
        each = np.log(-np.expm1(none)) - np.log(steps)
        found: Floats = np.concatenate([np.broadcast_to(each, self.inside.shape), none], axis=1)
        return found

    def scores(self, belief: Floats) -> Floats:
        """(solutions, longest + 1): log probability of all counts for each first error, by what ``belief`` teaches."""
        cases = self._cases(belief)
        each = [np.where(self.inside, self._logs(cases[case], _meant(case)), 0.0) for case in _CASES]
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

    def _logs(self, weight: Floats, meant: Floats) -> Floats:
        """(solutions, longest): log probability of each step's counts in a case, learned from steps that seem in it."""
        mixed, heavy = meant, weight[self.inside]
        for _ in range(4):
            share = self.fits * mixed[self.context]
            share *= (heavy / share.sum(axis=1))[:, None]
            totals = _GIVEN * meant
            np.add.at(totals, self.context, share)
            mixed = totals / totals.sum(axis=1, keepdims=True)
        logs = np.zeros(self.inside.shape)
        logs[self.inside] = np.log((self.fits * mixed[self.context]).sum(axis=1)) + self.top
        return logs


def _meant(case: int) -> Floats:
    """(bins, shares): the shares that a case means in each bin; the same of last steps."""
    kept = 0.8 * np.maximum(_MIDDLES, SHARES[1])[:, None] <= SHARES
    risen = np.maximum(1.2 * _MIDDLES, 0.05)[:, None] < SHARES
    like = kept if case == RIGHT else ~kept if case == BREAKS else ~risen
    found = np.where(like, 1.0, _UNLIKE)
    return np.tile(found / found.sum(axis=1, keepdims=True), (2, 1))


def _progress(counts: Counts, seen: _Seen) -> Votes:
    """The first error by relative progress, as a source."""
    labels = np.ones(seen.inside.shape, dtype=bool)
    labels[seen.inside] = rpe_ratio(counts.chain())
    wrong = ~labels & seen.inside
    index = np.where(wrong.any(axis=1), wrong.argmax(axis=1), -1)
    return Votes(index, np.zeros(len(index), dtype=bool))


def _hazard(seen: _Seen, belief: Floats) -> float:
    """Errors by steps taken, the first one included."""
    wrong = belief[:, :-1].sum()
    taken = (1 - (np.cumsum(belief[:, :-1], axis=1) - belief[:, :-1]))[seen.inside].sum()
    return float((wrong + 1) / (taken + 2))


def _learned(seen: _Seen, votes: Votes, belief: Floats) -> Floats:
    """(2, 3): how a source votes, by whether it is of one mind (see ``Posterior.sources``)."""
    place = np.where(votes.index == -1, seen.inside.shape[1], votes.index)
    says = votes.index > UNSAID
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
    # A source that finds an error in a solution of one step can name no other.
    named = np.where(steps == 1, hit + miss, 1.0)
    hit, miss = hit / named, miss / named
    places = np.arange(seen.inside.shape[1])
    index = votes.index[:, None]
    other = np.clip(1 - hit - miss, 1e-6, 1) / np.maximum(steps - 1, 1)
    wrong = np.where(index == -1, miss, np.where(index == places, hit, other))
    none = np.where(index == -1, 1 - alarm, alarm / steps)
    score: Floats = np.log(np.concatenate([np.broadcast_to(wrong, seen.inside.shape), none], axis=1))
    score[votes.index == UNSAID] = 0.0
    return score


def _normalised(score: Floats, possible: NDArray[np.bool_]) -> Floats:
    score = np.where(possible, score, -np.inf)
    found: Floats = np.exp(score - score.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    return found
