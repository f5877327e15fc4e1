"""When completions that are still to come cannot change a label any more: what an adaptive sampler asks.

Of ``most`` completions planned for a prefix, ``total`` are in and ``correct`` of them are right. A label is settled
exactly if every outcome of the others gives the same one; then the counts at hand give it too. With a risk, it is
settled if the chance that all completions give another label than those at hand is at most that: the chances behind
the counts are taken as drawn from Jeffreys' prior, Beta(1/2, 1/2), which makes the completions to come beta-binomial.
A sampler that asks after every completion keeps the bound for every label, on average over that prior.

    while (place := next_to_sample("rpe_ratio", chain)) is not None:
        ...  # a completion more of that prefix

Counts sampled so are biased: a rollout names its rule as ``spell`` writes it, and no other rule reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from genprm.curate.counts import Bools, Chain
from genprm.curate.labels import Rule, find_rule
from genprm.curate.rules import Number
from genprm.errors import InputError
from genprm.evaluate.statistics import Floats

PRIOR = (0.5, 0.5)
"""Pseudo-counts of correct and not correct completions before any is seen."""


class Sampled(NamedTuple):
    """What is known of a prefix: ``correct`` of the ``total`` completions that are in, of ``most`` planned."""

    correct: int
    total: int
    most: int

    @property
    def open(self) -> int:
        """Completions still to come."""
        return self.most - self.total


_Labels = Callable[[Sampled, Sampled, Any, Any], Bools]
"""Labels if so many of all planned completions here, and so many of those before, are correct (broadcast)."""


def settled(
    rule: str,
    here: Sampled,
    *,
    before: Sampled | None = None,
    later: bool = True,
    risk: float = 0.0,
    **parameters: Number,
) -> bool:
    """Whether the label of the step that ends the prefix ``here`` is settled.

    ``before``: the prefix without the step, or the problem alone (Pass@1) for step 0; rules of relative progress need
    it, for their label changes with either; where the completions before are as many as there will be, ``most`` is
    their ``total``. ``later``: labels of later steps are wanted too, so it must be settled as well whether MC is 0
    here, which ends the chain; False where only the first error is wanted.

    Nothing need be sampled behind a prefix known (within the risk) to have MC = 0: always settled. Raises
    ``InputError`` for a rule whose labels are not 0 and 1, counts that cannot be, or a missing ``before``.
    """
    found, labels = _labels_of(rule, parameters)
    if found.relative and before is None:
        raise InputError(f"'{rule}' compares with the prefix before; give its counts as well")
    if not 0 <= risk < 0.5:
        raise InputError(f"risk is {risk}; it must be at least 0 and below 0.5")
    earlier = before if found.relative and before is not None else Sampled(1, 1, 1)
    _check(here)
    _check(earlier)
    if _ends(earlier, risk):
        return True
    decides_zero = found.relative and later
    if risk:
        return _chance_of_change(labels, here, earlier, decides_zero) <= risk
    return _exactly(labels, here, earlier, decides_zero)


def next_to_sample(
    rule: str, chain: Sequence[Sampled], *, later: bool = True, risk: float = 0.0, **parameters: Number
) -> int | None:
    """The place in ``chain`` that needs a further completion; ``None`` once all labels that are wanted are settled.

    ``chain``: the problem alone, then the prefix of every step; the last step, which is not rolled out, as
    ``Sampled(0 or 1, 1, 1)``. A prefix that stopped early is asked for again where the label after it needs more.
    ``later``: False asks for the first error alone. Raises ``InputError`` as ``settled`` does.
    """
    found, labels = _labels_of(rule, parameters)
    for place, (before, here) in enumerate(pairwise(chain), start=1):
        if found.relative and _ends(before, risk):
            return None
        if not settled(rule, here, before=before, later=later, risk=risk, **parameters):
            return place if here.open else place - 1
        if not later and not labels(_closed(here), _closed(before), here.correct, before.correct):
            return None
    return None


def _labels_of(name: str, parameters: Mapping[str, Number]) -> tuple[Rule, _Labels]:
    rule, bound = find_rule(name, parameters)
    two = rule.two
    if two is None:
        raise InputError(f"'{name}' never settles early, for every completion changes its value; sample all of them")

    def labels(here: Sampled, before: Sampled, correct: Any, correct_before: Any) -> Bools:
        counts = np.broadcast_arrays(correct, here.most, correct_before, before.most)
        after, most, earlier, most_earlier = (column.reshape(-1).astype(np.int64) for column in counts)
        return two(Chain(after, most, earlier, most_earlier, ended=earlier == 0), bound).reshape(counts[0].shape)

    return rule, labels


def _exactly(labels: _Labels, here: Sampled, before: Sampled, decides_zero: bool) -> bool:
    """A label rises with successes here and falls with those before, except that none before makes it 0."""
    if decides_zero and not here.correct and here.open:
        return False
    worst = labels(here, before, here.correct, before.correct + before.open)
    best = labels(here, before, here.correct + here.open, max(before.correct, 1))
    return (bool(worst) and before.correct > 0) or not best


def _chance_of_change(labels: _Labels, here: Sampled, before: Sampled, decides_zero: bool) -> float:
    """The chance that all completions give another label, or another answer to "is MC 0", than those that are in."""
    if not (here.total and before.total):
        return 0.0 if _exactly(labels, here, before, decides_zero) else 1.0
    now = labels(_closed(here), _closed(before), here.correct, before.correct)
    correct = here.correct + np.arange(here.open + 1)[:, None]
    changed = labels(here, before, correct, before.correct + np.arange(before.open + 1)) != now
    if decides_zero:
        changed |= (correct == 0) != (here.correct == 0)
    return float(_predicted(here) @ changed @ _predicted(before))


def _ends(prefix: Sampled, risk: float) -> bool:
    """MC is 0, but for a chance of at most ``risk``: all labels behind are 0."""
    if prefix.correct or not prefix.open:
        return not prefix.correct
    return prefix.total > 0 and 1 - float(_predicted(prefix)[0]) <= risk


def _closed(prefix: Sampled) -> Sampled:
    return prefix._replace(most=prefix.total)


def _predicted(prefix: Sampled) -> Floats:
    """(open + 1,): beta-binomial chances of 0, 1, ... further successes."""
    yes, no = PRIOR[0] + prefix.correct, PRIOR[1] + prefix.total - prefix.correct
    more = np.arange(prefix.open)
    logs = np.cumsum(np.log((prefix.open - more) / (more + 1) * (yes + more) / (no + prefix.open - more - 1)))
    weights = np.exp(np.concatenate([[0.0], logs]) - max(0.0, logs.max(initial=0.0)))
    return np.asarray(weights / weights.sum())


def _check(prefix: Sampled) -> None:
    if not (0 <= prefix.correct <= prefix.total <= prefix.most and prefix.most):
        raise InputError(f"{prefix} cannot be; give 0 <= correct <= total <= most, and a most above 0")
