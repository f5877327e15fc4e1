"""Refinement: what rounds of critique did to the answers, from the directory of a ``genprm critique`` run.

Per round, of the problems whose answer can be told right or wrong: the share of right answers after it, what it gained
over the solutions as given (paired), how many wrong answers became right and right ones wrong, and how many right ones
were criticised at all: the false alarms. Counts and intervals come from ``items.jsonl``, tokens of policy and verifier
from ``metrics.json``. Intervals resample problems with all their solutions.

A control is another critique run on the same solutions: by how much the run is ahead of it after each round, paired,
with the p-value of a permutation per problem after the last round that both have; Holm for several controls.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.permutation import holm, permutation_p
from genprm.evaluate.refined import Refined, read_refined
from genprm.evaluate.statistics import (
    Bools,
    Floats,
    Interval,
    Spread,
    intervals,
    ratio,
    share_interval,
    spread,
    units,
)


@dataclass(frozen=True, slots=True)
class RefineRound:
    """One round; round 0 is the solutions as given. Shares in per cent."""

    number: int
    right: Interval
    """Right answers after the round."""
    gain: Interval | None
    """Over round 0, in points, paired; ``None`` for round 0."""
    wrong_to_right: int
    right_to_wrong: int
    mended: Interval | None
    """Of the answers that were wrong before the round: those that became right; ``None`` where none was wrong."""
    spoiled: Interval | None
    """Of the answers that were right before it: those that became wrong."""
    criticised: int
    """Of all problems."""
    false_alarms: int
    """Right answers that were criticised all the same."""
    alarmed: Interval | None
    """Of the answers that were right before the round: the false alarms."""
    invalid: int
    """New solutions that could not be used."""
    policy_tokens: int
    verifier_tokens: int
    tokens_so_far: int
    """Of policy and verifier, this round and all before it."""


@dataclass(frozen=True, slots=True)
class Against:
    """A run and a control on the same problems."""

    control: str
    critic: str
    problems: int
    """That have an answer which can be told right or wrong in both."""
    ahead: tuple[Interval, ...]
    """Share of right answers of the run minus the control's after each round that both have, from 0, in points."""
    p: float
    """Of the last of them."""
    p_holm: float | None
    """Adjusted for the number of controls; ``None`` for one."""
    tokens: tuple[int, ...]
    """Of the control's policy and verifier up to each round."""


@dataclass(frozen=True, slots=True)
class RefineRun:
    """One critique run."""

    source: str
    critic: str
    problems: int
    unanswered: int
    """Solutions whose answer cannot be told right or wrong: they are in no share."""
    rounds: tuple[RefineRound, ...]


@dataclass(frozen=True, slots=True)
class Refine:
    """One run with its controls, or several runs that differ in their sampling seed."""

    runs: tuple[RefineRun, ...]
    against: tuple[Against, ...]
    spreads: tuple[Spread, ...]
    """Share of right answers after each round that all runs have, over runs; empty for one run."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def refine(paths: Sequence[Path], *, against: Sequence[Path] = (), seed: int = 0) -> Refine:
    """The figures of critique runs on the same solutions. ``against``: controls of the one run.

    Raises ``InputError``.
    """
    if against and len(paths) > 1:
        raise InputError(f"controls are compared with one run, and here are {len(paths)}; give one DIR with --against")
    read = [read_refined(path) for path in paths]
    controls = [read_refined(path) for path in against]
    for other in (*read[1:], *controls):
        _require_same(read[0], other)
    runs = tuple(_figures(one, seed) for one in read)
    compared = tuple(_against(read[0], one, seed) for one in controls)
    if len(compared) > 1:
        adjusted = holm([one.p for one in compared])
        compared = tuple(replace(one, p_holm=p) for one, p in zip(compared, adjusted, strict=True))
    rounds = min(len(run.rounds) for run in runs)
    spreads = [spread([run.rounds[number].right.value for run in runs]) for number in range(rounds if runs[1:] else 0)]
    return Refine(runs, compared, tuple(spreads))


def _figures(run: Refined, seed: int) -> RefineRun:
    known = run.answered
    if not known.any():
        raise InputError(f"{run.path}: no answer can be told right or wrong; criticise solutions with an 'answer'")
    right = run.right[known].astype(float)
    problems = [name for name, one in zip(run.problems, known, strict=True) if one]
    rounds, spent = [], 0
    for number in range(right.shape[1]):
        spent += sum(run.tokens[number])
        rounds.append(_round(run, number, right, problems, spent, seed))
    return RefineRun(str(run.path), run.critic, len(run.ids), int((~known).sum()), tuple(rounds))


def _round(
    run: Refined, number: int, right: Floats, problems: Sequence[Hashable], spent: int, seed: int
) -> RefineRound:
    after = right[:, number]
    before = right[:, max(number - 1, 0)]
    criticised = run.criticised[run.answered, number].astype(float)

    def share(of: Floats, among: Floats) -> Interval | None:
        return share_interval(of, among, problems=problems, seed=seed).times(100) if among.any() and number else None

    ones = np.ones(len(after))
    gain = share_interval(after - right[:, 0], ones, problems=problems, seed=seed).times(100)
    mended, spoiled, alarms = after * (1 - before), before * (1 - after), before * criticised
    return RefineRound(
        number=number,
        right=share_interval(after, ones, problems=problems, seed=seed).times(100),
        gain=gain if number else None,
        wrong_to_right=int(mended.sum()),
        right_to_wrong=int(spoiled.sum()),
        mended=share(mended, 1 - before),
        spoiled=share(spoiled, before),
        criticised=int(run.criticised[:, number].sum()),
        false_alarms=int(alarms.sum()),
        alarmed=share(alarms, before),
        invalid=run.invalid[number],
        policy_tokens=run.tokens[number].policy,
        verifier_tokens=run.tokens[number].verifier,
        tokens_so_far=spent,
    )


def _against(run: Refined, control: Refined, seed: int) -> Against:
    places = {name: place for place, name in enumerate(control.ids)}
    order = [places[name] for name in run.ids]
    rounds = min(run.right.shape[1], control.right.shape[1])
    known: Bools = run.answered & control.answered[order]
    if not known.any():
        raise InputError(f"{run.path} and {control.path} have no problem with an answer that both could compare")
    problems = [name for name, one in zip(run.problems, known, strict=True) if one]
    ours, theirs = (table[known, :rounds].astype(float) for table in (run.right, control.right[order]))
    found = units(len(problems), None, problems)
    count = np.ones((len(problems), 1))
    a, b = (found.sums(np.concatenate([table, count], axis=1)) for table in (ours, theirs))
    return Against(
        control=str(control.path),
        critic=control.critic,
        problems=len(problems),
        ahead=_ahead(a, b, seed),
        p=permutation_p(a, b, lambda sums: ratio(sums[:, -2], sums[:, -1]), seed=seed),
        p_holm=None,
        tokens=tuple(int(one) for one in np.cumsum([sum(spent) for spent in control.tokens[:rounds]])),
    )


def _ahead(a: Floats, b: Floats, seed: int) -> tuple[Interval, ...]:
    """The differences of all rounds on the same resamples. ``a``, ``b``: (units, rounds + 1), counts last."""
    table = np.concatenate([a[:, :-1] - b[:, :-1], a[:, -1:]], axis=1)
    sums, draws = table.sum(axis=0), units(len(table)).draws(table, seed=seed)
    shares = intervals(ratio(sums[:-1], sums[-1:]), ratio(draws[:, :-1], draws[:, -1:]))
    return tuple(one.times(100) for one in shares)


def _require_same(first: Refined, other: Refined) -> None:
    """Raises ``InputError`` unless both began with the same solutions."""
    mine, theirs = dict(zip(first.ids, first.given, strict=True)), dict(zip(other.ids, other.given, strict=True))
    if missing := sorted(mine.keys() ^ theirs.keys()):
        has, lacks = (first, other) if missing[0] in mine else (other, first)
        raise InputError(
            f"{has.path} has the solution '{missing[0]}' and {lacks.path} has not; give runs on the same solutions"
        )
    for name, solution in mine.items():
        if theirs[name] != solution:
            raise InputError(
                f"{first.path} and {other.path} began with other texts of '{name}'; give runs on the same solutions"
            )
