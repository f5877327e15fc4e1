"""The problems of a policy training, and the ones held out, each with its reference answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

from genprm.errors import InputError
from genprm.train.options.policies import HeldOutOptions, PolicyTraining, ProblemOptions
from genprm.types import Problem


def held_out(options: PolicyTraining) -> tuple[Problem, ...]:
    """Problems that are never trained on: of the micro-world's test split, or of a file. Raises ``InputError``."""
    return _drawn(options.heldout, "test", 0)


def part(options: PolicyTraining, number: int, heldout: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems of part ``number`` of the training, counted from 0; no part has those of another.

    Raises ``InputError``, also for a problem that is among those held out.
    """
    drawn = _drawn(options.problems, "train", number)
    texts = {problem.problem for problem in heldout}
    seen = next((problem for problem in drawn if problem.problem in texts), None)
    if seen is not None:
        raise InputError(
            f"problem '{seen.id}' of {options.problems.place} is held out too ({options.heldout.place}); "
            "give heldout.place problems that are not trained on"
        )
    return drawn


def _drawn(options: ProblemOptions, split: str, number: int) -> tuple[Problem, ...]:
    first, last = number * options.count, (number + 1) * options.count
    if options.place is None:
        from genprm.lab.runs import problem_records

        records = problem_records(last, options.seed, "test" if split == "test" else "train")[first:]
        return tuple(Problem(one["id"], one["problem"], one["answer"]) for one in records)
    from genprm.rollout.problems import read_given

    problems = list(read_given(options.place).problems)
    where = "heldout" if isinstance(options, HeldOutOptions) else "problems"
    if len(problems) < last:
        parts = f" in each of {number + 1} parts" if number else ""
        raise InputError(
            f"{options.place} holds {len(problems)} problems, fewer than {where}.count {options.count}{parts}; lower it"
        )
    if where == "heldout":
        return tuple(problems[: options.count])
    random.Random(f"problems {options.seed}").shuffle(problems)
    return tuple(problems[first:last])
