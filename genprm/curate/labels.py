"""The label rules by name, and labels of many solutions under one of them.

    counts = Counts.from_rollouts(read_rollouts(path))
    label(counts, "rpe_ratio", threshold=0.8)                # list[Labels], one a solution, in the order of counts
    label_arrays(counts, "hard").first_errors()              # the same as arrays, for 100,000 solutions and more
    label(counts, "rpe_ratio", confidence=0.95)              # None where so few completions cannot tell

Guaranteed: counts are never read under a rule that biased them otherwise, and what a rule cannot tell is ``None`` (NaN
in arrays), never a number. Rules of relative progress cannot tell anything of a problem that the completion model never
solves (Pass@1 = 0): all its labels are ``None``, and ``Labelled.dropped_problems`` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from genprm.curate import intervals, rules
from genprm.curate.counts import Bools, Chain, Counts, Ints
from genprm.curate.rules import Number
from genprm.errors import InputError
from genprm.evaluate.statistics import Floats
from genprm.types import Labels

UNKNOWN = -2
"""A first error that cannot be told: a step without label comes before any label of 0."""

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Parameter:
    """The one parameter of a rule."""

    name: str
    default: Fraction
    allowed: Callable[[Fraction], bool]
    range: str
    """What is allowed, as a person says it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One label rule: graded (values in [0, 1]) or of two labels, then given as a function of chains."""

    name: str
    parameter: Parameter | None = None
    graded: Callable[[Counts, Fraction], Floats] | None = None
    two: Callable[[Chain, Fraction], Bools] | None = None
    confident: Callable[[Counts, Fraction, float], Floats] | None = None
    """The labels at a confidence; rules of two labels have it."""
    relative: bool = False
    """Compares MC with that of the prefix before, so it needs Pass@1 of the completion model."""

    def values(self, counts: Counts, bound: Fraction) -> Floats:
        """(steps,), NaN where nothing was sampled and no earlier step with MC = 0 decides."""
        if self.graded is not None:
            return self.graded(counts, bound)
        assert self.two is not None
        chain = counts.chain()
        blind = chain.total == 0
        if self.relative:
            blind = (blind | (chain.before_total == 0)) & ~chain.ended
        return np.where(blind, np.nan, self.two(chain, bound))


_RULES = (
    Rule("orm", graded=lambda counts, _: rules.orm(_known_answers(counts), counts.lengths)),
    Rule(
        "hard",
        Parameter("threshold", Fraction(0), lambda x: 0 <= x < 1, "at least 0 and below 1"),
        two=lambda chain, bound: rules.hard(chain.correct, chain.total, bound),
        confident=intervals.confident_hard,
    ),
    Rule("soft", graded=lambda counts, _: rules.soft(counts.correct, counts.total)),
    Rule(
        "entropy",
        Parameter("eta", Fraction(1), lambda x: abs(x) <= 10**300, "a finite number; for infinite eta use 'hard'"),
        graded=lambda counts, eta: rules.entropy(rules.soft(counts.correct, counts.total), float(eta)),
    ),
    Rule(
        "rpe_ratio",
        Parameter("threshold", Fraction(4, 5), lambda x: x > 0, "above 0"),
        two=rules.rpe_ratio,
        confident=intervals.confident_ratio,
        relative=True,
    ),
    Rule(
        "rpe_difference",
        Parameter("threshold", Fraction(-3, 10), lambda x: -1 <= x <= 1, "between -1 and 1"),
        two=rules.rpe_difference,
        confident=intervals.confident_difference,
        relative=True,
    ),
)
RULES: Mapping[str, Rule] = {rule.name: rule for rule in _RULES}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The labels of all steps of many solutions under one rule."""

    counts: Counts
    rule: str
    parameters: Mapping[str, float]
    values: Floats
    """(steps,); NaN: the rule cannot tell."""
    dropped: Bools
    """(solutions,): all its labels are NaN because the completion model never solves its problem (Pass@1 = 0)."""

    @property
    def dropped_problems(self) -> tuple[str, ...]:
        """Ids of the problems that ``dropped`` solutions belong to."""
        return tuple(self.counts.problem_ids[place] for place in np.unique(self.counts.problem[self.dropped]))

    def first_errors(self) -> Ints:
        """(solutions,): the first step labelled 0, -1 if none is, ``UNKNOWN`` if a step without label comes before."""
        starts, places, none = self.counts.starts[:-1], np.arange(len(self.values)), len(self.values)
        zero = np.minimum.reduceat(np.where(self.values == 0, places, none), starts)
        blind = np.minimum.reduceat(np.where(np.isnan(self.values), places, none), starts)
        return np.where(blind < zero, UNKNOWN, np.where(zero == none, -1, zero - starts))

    def records(self) -> list[Labels]:
        """One ``Labels`` a solution, in the order of the counts."""
        columns = self.values.astype(object)
        columns[np.isnan(self.values)] = None
        values = columns.tolist()
        pairs = list(zip(self.counts.correct.tolist(), self.counts.total.tolist(), strict=True))
        starts = self.counts.starts.tolist()
        return [
            Labels(name, self.rule, self.parameters, tuple(values[start:end]), tuple(pairs[start:end]))
            for name, start, end in zip(self.counts.ids, starts, starts[1:], strict=False)
        ]


def label(counts: Counts, rule: str, *, confidence: float | None = None, **parameters: Number) -> list[Labels]:
    """The labels of each solution, in the order of ``counts``; see ``label_arrays``."""
    return label_arrays(counts, rule, confidence=confidence, **parameters).records()


def label_arrays(counts: Counts, rule: str, *, confidence: float | None = None, **parameters: Number) -> Labelled:
    """The labels of every step under the rule of that name, without a loop over steps or solutions.

    ``parameters``: the rule's own (``threshold`` or ``eta``), else its default. With a ``confidence``, labels of 0 and
    1 that the counts do not show with it are NaN (``intervals.py`` says how).

    Raises ``InputError`` for an unknown rule or parameter, a value out of range, counts that an adaptive sampler
    stopped under another rule, a confidence where only graded labels or ratios are, and a Pass@1 that is missing.
    """
    found, bound = find_rule(rule, parameters)
    _check_bias(counts, spell(rule, **parameters))
    recorded = {} if found.parameter is None else {found.parameter.name: float(bound)}
    dropped = np.zeros(len(counts.ids), dtype=bool)
    if found.relative:
        _check_pass(counts, rule)
        dropped = counts.pass_correct[counts.problem] == 0
    if confidence is None:
        values = found.values(counts, bound)
    else:
        values = _confident(found, counts, bound, confidence)
        recorded["confidence"] = confidence
    return Labelled(counts, rule, recorded, np.where(dropped.repeat(counts.lengths), np.nan, values), dropped)


def find_rule(name: str, parameters: Mapping[str, Number]) -> tuple[Rule, Fraction]:
    """The rule of that name and the exact value of its parameter (0 if it has none). Raises ``InputError``."""
    if name not in RULES:
        raise InputError(f"there is no label rule '{name}'; the rules are {', '.join(RULES)}")
    rule = RULES[name]
    known = rule.parameter
    other = [given for given in parameters if known is None or given != known.name]
    if other:
        takes = "no parameter" if known is None else f"'{known.name}'"
        raise InputError(f"the label rule '{name}' has no parameter '{other[0]}'; it takes {takes}")
    if known is None:
        return rule, Fraction(0)
    bound = rules.exact(parameters.get(known.name, known.default), f"{known.name} of '{name}'")
    if not known.allowed(bound):
        raise InputError(f"{known.name} of '{name}' is {parameters[known.name]}; it must be {known.range}")
    return rule, bound


def spell(name: str, **parameters: Number) -> str:
    """The rule as a rollout's ``rule`` names it: the bare name at its default, else as in ``hard(threshold=0.5)``."""
    rule, bound = find_rule(name, parameters)
    if rule.parameter is None or bound == rule.parameter.default:
        return name
    return f"{name}({rule.parameter.name}={float(bound)!r})"


def _confident(rule: Rule, counts: Counts, bound: Fraction, confidence: float) -> Floats:
    intervals.check_confidence(confidence)
    if rule.confident is None:
        named = ", ".join(other.name for other in _RULES if other.confident is not None)
        raise InputError(f"'{rule.name}' has no labels at a confidence; the rules that have them are {named}")
    if counts.shares_only or counts.rules:
        why = "only ratios are known" if counts.shares_only else "sampling stopped early"
        raise InputError(f"labels at a confidence need the counts of a fixed number of completions, but {why}")
    return rule.confident(counts, bound, confidence)


def _check_bias(counts: Counts, spelled: str) -> None:
    other = sorted(counts.rules - {spelled})
    if other:
        raise InputError(
            f"sampling stopped early under the rule '{other[0]}', so these counts are biased for '{spelled}'; "
            f"label them with '{other[0]}', or sample all completions"
        )


def _check_pass(counts: Counts, rule: str) -> None:
    without = np.unique(counts.problem[counts.pass_total[counts.problem] == 0])
    if len(without):
        named = ", ".join(f"'{counts.problem_ids[place]}'" for place in without[:_NAMED])
        raise InputError(
            f"'{rule}' needs Pass@1 of the completion model (rollouts of step -1), which {len(without)} problems lack: "
            f"{named}{', ...' * (len(without) > _NAMED)}; sample from the problems alone as well"
        )


def _known_answers(counts: Counts) -> Ints:
    unknown = np.flatnonzero(counts.answer < 0)
    if len(unknown):
        raise InputError(
            f"'orm' needs to know whether answers are right, which is unknown of {len(unknown)} solutions, the first "
            f"'{counts.ids[unknown[0]]}'; use a rule of Monte Carlo values"
        )
    return counts.answer
