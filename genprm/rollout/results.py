"""What is derived from the samples and rollouts of a run: the solutions kept, one item a problem, and the counts.

Pure but for reading the store; the same whatever the order in which results came in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genprm.rollout.budget import Budget, Candidate, difficulty, pass_at_1, select
from genprm.rollout.courses import PROBLEM_ALONE, PrefixCourse, SampleCourse
from genprm.rollout.metrics import Tally
from genprm.rollout.samples import solution_of
from genprm.rollout.store import Store
from genprm.types import Rollout, Solution

UNWRITTEN = "(nothing)"
"""The only step of a sample without text: a solution has one."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What the files hold that are replaced at the end of a run."""

    solutions: tuple[Solution, ...]
    """Those kept or given, by problem, with their final answers judged."""
    items: tuple[Mapping[str, Any], ...]
    tally: Tally
    """Over all that counts, of earlier runs too."""

    @property
    def difficulties(self) -> Mapping[str, int]:
        """Problems of each difficulty."""
        return dict(sorted(Counter(item["difficulty"] for item in self.items if item.get("difficulty")).items()))


def kept(course: SampleCourse, store: Store, budget: Budget, run_seed: int, generator: str) -> Iterator[Solution]:
    """The solutions to keep of a problem, by index; none before all its samples are in."""
    if course.owed or not course.size or difficulty(course.tally) not in budget.difficulties:
        return
    samples = [sample for key in course.finished() if (sample := store.sample(key)).outcome != "invalid"]
    candidates = (Candidate(sample.index, sample.outcome == "correct", sample.steps) for sample in samples)
    chosen = select(candidates, budget, run_seed, course.problem.id)
    for sample in samples:
        if sample.index in chosen:
            yield solution_of(sample, course.problem, generator)


def sampled(course: SampleCourse, store: Store, generator: str) -> Iterator[Solution]:
    """Every sample of a problem by index, as best-of-N takes them.

    Whether one of too few steps is right is left to whoever compares its answer; any other that is invalid is wrong and
    answers nothing.
    """
    for key in course.finished():
        sample = store.sample(key)
        solution = solution_of(sample, course.problem, generator)
        if sample.outcome == "invalid":
            written = tuple(step for step in sample.steps if step.strip()) or (sample.text.strip() or UNWRITTEN,)
            solution = replace(solution, steps=written)
            answers = sample.reason == "steps"
            solution = (
                replace(solution, final_answer_correct=None) if answers else replace(solution, predicted_answer="")
            )
        yield solution


def derive(sampling: Mapping[str, SampleCourse], completing: Sequence[PrefixCourse], store: Store) -> Derived:
    """The results of a run. ``sampling``: by problem; empty where solutions were given."""
    tally = Tally()
    for course in sampling.values():
        for key in course.finished():
            tally.add_sample(store.sample(key))
    solutions: list[Solution] = []
    items = []
    for prefixes in completing:
        found = {key: store.rollout(key) for key in prefixes.finished()}
        last = {solution.id: prefixes.key_of(solution, len(solution.steps) - 1) for solution in prefixes.solutions}
        for rollout in found.values():
            tally.add_rollout(rollout, last=prefixes.is_last(rollout))
        solutions += [_judged(solution, found.get(last[solution.id])) for solution in prefixes.solutions]
        items.append(_item(prefixes, sampling.get(prefixes.problem.id), found))
    return Derived(tuple(solutions), tuple(items), tally)


def _item(prefixes: PrefixCourse, sampled: SampleCourse | None, found: Mapping[str, Rollout]) -> dict[str, Any]:
    """One line of items.jsonl."""
    item: dict[str, Any] = {"id": prefixes.problem.id, "answer": prefixes.problem.answer}
    if sampled is not None:
        tally = sampled.tally
        item["samples"] = {name: tally[name] for name in ("correct", "incorrect", "invalid")}
        item["pass_at_1"] = pass_at_1(tally)
        item["difficulty"] = difficulty(tally) if sampled.size and not sampled.owed else None
    item["selected"] = [solution.id for solution in prefixes.solutions]
    alone = found.get(prefixes.key_of(None, PROBLEM_ALONE)) if prefixes.solutions else None
    item["completer"] = None
    if alone is not None:
        share = alone.correct / alone.total
        item["completer"] = {"correct": alone.correct, "total": alone.total, "pass_at_1": share}
    item["owed"] = prefixes.owed + (0 if sampled is None else sampled.owed)
    return item


def _judged(solution: Solution, last: Rollout | None) -> Solution:
    """The solution with what its last step told of its answer."""
    if solution.final_answer_correct is not None or last is None:
        return solution
    return replace(solution, final_answer_correct=last.correct == 1)
