"""Several solutions of each of some problems, as arrays: what best-of-N is computed from.

A sample's score under an aggregation is the min, mean, product or last of its step rewards; of a sample with one
reward for the whole solution it is that number, and the aggregation is called ``reward``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genprm.errors import InputError
from genprm.evaluate.answers import conclusions, same_answers
from genprm.evaluate.scored import Results, Scored
from genprm.evaluate.statistics import Bools, Floats, Ints

AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": lambda rewards: math.fsum(rewards) / len(rewards),
    "product": math.prod,
    "last": lambda rewards: rewards[-1],
}


@dataclass(frozen=True, slots=True)
class Samples:
    """All problems that have n samples."""

    problems: tuple[str, ...]
    members: Ints
    """(problems, n): the places of the samples among the results."""
    correct: Floats
    """(problems, n): 1 where the final answer is right."""
    answers: Ints
    """(problems, n): which answer of the problem it is, -1 for none."""
    scores: Mapping[str, Floats]
    """(problems, n) by aggregation; NaN where a sample has no score."""
    wrong_step: Floats
    """(problems, n): 1 where the label names a wrong step, 0 where it says there is none, NaN where it is unknown."""

    @property
    def rightness(self) -> Floats:
        """(problems, n): how right a sample's answer is: the mean correctness of all samples that give it.

        1 or 0, unless records call the same answer right here and wrong there.
        """
        problems, width = len(self.answers), 2 + int(self.answers.max(initial=0))
        slot = width * np.arange(problems)[:, None] + self.answers + 1
        sums = np.bincount(slot.ravel(), weights=self.correct.ravel(), minlength=problems * width)
        counts = np.bincount(slot.ravel(), minlength=problems * width)
        return np.asarray(sums[slot] / counts[slot])


def collect(results: Results, fewest: int = 1) -> list[Samples]:
    """The samples of results, one ``Samples`` for each number of samples that problems have.

    Raises ``InputError`` for what cannot be selected from: samples without reward, of mixed kinds of reward or settled
    early; solutions of which nobody says what problem they solve or whether they are right; a problem with fewer than
    ``fewest`` samples.
    """
    for one in results.scored:
        _check(results, one)
    places: dict[str, list[int]] = {}
    for place, one in enumerate(results.scored):
        places.setdefault(str(one.problem), []).append(place)
    short = min(places, key=lambda name: len(places[name]))
    if len(places[short]) < fewest:
        first = results.scored[places[short][0]]
        raise results.fail(
            first, "problem_id", f"the problem '{short[:60]}' has {len(places[short])} solutions, fewer than {fewest}; "
            f"sample more of it, or give a smaller --n",
        )  # fmt: skip
    for members in places.values():
        _one_problem(results, [results.scored[place] for place in members])
    answers, right = conclusions([one.solution for one in results.scored])
    grouped = same_answers([[answers[place] for place in members] for members in places.values()])
    flat = np.empty(len(right), dtype=np.int64)
    for members, found in zip(places.values(), grouped, strict=True):
        flat[members] = found
    correct, scores = np.array(right, dtype=float), _scores(results.scored)
    wrong = np.array([_wrong_step(one.solution.label) for one in results.scored])
    made = []
    for size in sorted({len(members) for members in places.values()}):
        names = tuple(name for name, members in places.items() if len(members) == size)
        at = np.array([places[name] for name in names])
        own = {name: values[at] for name, values in scores.items()}
        made.append(Samples(names, at, correct[at], flat[at], own, wrong[at]))
    return made


def _check(results: Results, one: Scored) -> None:
    solution, first = one.solution, results.scored[0]
    if one.settled != "all":
        early = [each for each in results.scored if each.settled != "all"]
        raise results.fail(
            early[0], "settled", f"is {early[0].settled or 'null'}, as in {len(early)} items: their rewards are not "
            "exact, and best-of-n ranks by rewards; finish the run with genprm verify --settle all",
        )  # fmt: skip
    if one.rewards is None and one.reward is None:
        raise results.fail(one, "reward", "is missing; give a number, or a list with one number per step")
    if (one.rewards is None) != (first.rewards is None):
        kinds = "a number here and a list" if one.rewards is None else "a list here and a number"
        raise results.fail(one, "reward", f"is {kinds} in line {first.line}; give one kind in the whole file")
    if not solution.problem_id and not solution.problem:
        raise results.fail(
            one, "problem_id", "is missing, and so is the problem's text; give one of them: samples are grouped by it"
        )
    if solution.final_answer_correct is None and solution.answer is None:
        raise results.fail(
            one, "final_answer_correct", "is missing, and so is 'answer'; give one of them to tell right from wrong"
        )


def _one_problem(results: Results, samples: Sequence[Scored]) -> None:
    """Raises ``RecordError`` where samples that name one problem hold the texts of two."""
    first: Scored | None = None
    for one in samples:
        if one.solution.problem:
            first = first or one
            if one.solution.problem.split() != first.solution.problem.split():
                name = one.solution.problem_id
                raise results.fail(one, "problem", f"is another text than in line {first.line}, and both have the "
                                   f"problem_id '{name}'; give each problem its own")  # fmt: skip


def same_answers_in(first: Results, other: Results) -> None:
    """Raises ``InputError`` where the reference answer of a problem is another one in another run."""
    known = {str(one.problem): one.solution.answer for one in first.scored if one.solution.answer is not None}
    pairs: dict[str, list[str]] = {}
    for one in other.scored:
        name, theirs = str(one.problem), one.solution.answer
        if name in known and theirs is not None and known[name] != theirs:
            pairs[name] = [known[name], theirs]
    for (name, (mine, theirs)), (own, its) in zip(pairs.items(), same_answers(list(pairs.values())), strict=True):
        if own != its:
            raise InputError(
                f"{first.path} and {other.path} have other answers to the problem '{name[:60]}' "
                f"('{mine}' and '{theirs}'); give runs with the same reference answers"
            )


def _scores(scored: Sequence[Scored]) -> dict[str, Floats]:
    if scored[0].rewards is None:
        return {"reward": np.array([one.reward for one in scored], dtype=float)}
    known = [None if None in (one.rewards or (None,)) else [float(reward or 0) for reward in one.rewards or ()]
             for one in scored]  # fmt: skip
    return {
        name: np.array([math.nan if rewards is None else aggregate(rewards) for rewards in known])
        for name, aggregate in AGGREGATIONS.items()
    }


def _wrong_step(label: int | None) -> float:
    return math.nan if label is None else float(label >= 0)


def scored_mask(samples: Samples) -> Bools:
    """(problems, n): whether a sample has a score."""
    return ~np.isnan(next(iter(samples.scores.values())))


def same_problems(runs: Sequence[Sequence[Samples]], names: Sequence[str]) -> None:
    """Raises ``InputError`` unless all runs are on the same problems."""
    sets = [{name for one in run for name in one.problems} for run in runs]
    for found, name in zip(sets[1:], names[1:], strict=True):
        if found != sets[0]:
            other = sorted(found ^ sets[0])[0]
            where, missing = (name, names[0]) if other in found else (names[0], name)
            raise InputError(
                f"{where} has the problem '{other[:60]}', which {missing} has not; give runs on the same problems"
            )
