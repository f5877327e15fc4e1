"""What a search found, as values, as lines of ``searches.jsonl``, and what is derived from them.

``candidates/`` is laid out as a verify run (``solutions.jsonl`` and ``items.jsonl``), so that
``genprm evaluate best-of-n DIR/candidates`` reads every solution with its rewards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from genprm.errors import RecordError
from genprm.evaluate.statistics import mean_interval
from genprm.records import item_to_dict, solution_to_dict
from genprm.rollout.results import UNWRITTEN
from genprm.search.paths import Path
from genprm.types import Problem, Solution, Verification
from genprm.verdicts import predicted_label
from genprm.verify.aggregate import scores


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solution that the search came to the end of."""

    path: Path
    rewards: tuple[float | None, ...]
    """One a step; ``None`` where it was not judged, as the steps of one that was cut short."""
    score: float | None
    answer: str
    """What it concludes; empty for nothing."""
    correct: bool | None
    """``None`` without a reference answer."""

    def id(self, problem: str) -> str:
        """Of the solution: the problem's id and the numbers of its draws."""
        return f"{problem}/{'.'.join(map(str, self.path.name))}"


@dataclass(frozen=True, slots=True)
class Found:
    """What the search for one problem left: a unit of work."""

    key: str
    id: str
    """Of the problem."""
    candidates: tuple[Candidate, ...]
    chosen: int | None
    """Place of the one that is taken; ``None`` where none has an answer."""
    correct: bool | None
    """Whether that solves the problem, which nothing does not; ``None`` without a reference answer."""
    stopped: Literal["done", "budget"]
    policy_tokens: int
    """Generated, whatever became of them."""
    scorer_tokens: int
    draws: int
    judged: int
    """Steps that were scored, each prefix once."""

    @property
    def taken(self) -> Candidate | None:
        return None if self.chosen is None else self.candidates[self.chosen]


def found_to_dict(found: Found) -> dict[str, Any]:
    """The record of a unit; ``key`` first."""
    return asdict(found)


def found_from_dict(record: Mapping[str, Any], *, source: str) -> Found:
    """The unit of a record. Raises ``RecordError`` for one that this version did not write."""
    try:
        return Found(**{**record, "candidates": tuple(map(_candidate, record["candidates"]))})
    except (KeyError, TypeError) as error:
        raise RecordError(f"is no search ({error}); take the line out, it is searched again", source=source) from error


def _candidate(record: Mapping[str, Any]) -> Candidate:
    path = record["path"]
    made = Path(**{**path, "name": tuple(path["name"]), "steps": tuple(path["steps"])})
    return Candidate(**{**record, "path": made, "rewards": tuple(record["rewards"])})


def item_of(found: Found) -> dict[str, Any]:
    """A line of ``items.jsonl``: what was taken for a problem, and of what."""
    taken = found.taken
    return {
        "id": found.id,
        "answer": None if taken is None else taken.answer,
        "correct": found.correct,
        "score": None if taken is None else taken.score,
        "chosen": None if taken is None else taken.id(found.id),
        "stopped": found.stopped,
        "policy_tokens": found.policy_tokens,
        "scorer_tokens": found.scorer_tokens,
        "candidates": [
            {
                "id": one.id(found.id), "score": one.score, "rewards": list(one.rewards), "answer": one.answer,
                "correct": one.correct, "end": one.path.end, "tokens": one.path.tokens,
            }
            for one in found.candidates
        ],
    }  # fmt: skip


def solutions_of(found: Found, problem: Problem, generator: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The record and the item of every candidate, also of one that holds nothing: a draw is a draw."""
    made = []
    for place, one in enumerate(found.candidates):
        steps, rewards = one.path.steps or (UNWRITTEN,), one.rewards or (None,)
        solution = Solution(
            problem.problem, steps, one.id(found.id), found.id, generator, problem.answer or None, one.answer,
            one.correct, extra={"separator": one.path.separator, "end": one.path.end, "chosen": place == found.chosen},
        )  # fmt: skip
        made.append((solution_to_dict(solution), item_to_dict(_verification(solution.id, rewards))))
    return made


def _verification(id: str, rewards: Sequence[float | None]) -> Verification:
    status = tuple("not_run" if reward is None else "judged" for reward in rewards)
    return Verification(id, tuple(rewards), status, predicted_label(rewards), scores(rewards), "all", (), {})  # type: ignore[arg-type]


def metrics_of(found: Iterable[Found]) -> dict[str, Any]:
    """Accuracy in per cent with its 95 % interval over problems, and what was spent."""
    every = list(found)
    right = [float(one.correct) for one in every if one.correct is not None]
    accuracy = mean_interval(np.array(right)).times(100) if right else None
    policy, scorer = sum(one.policy_tokens for one in every), sum(one.scorer_tokens for one in every)
    return {
        "problems": len(every),
        "answered": sum(one.chosen is not None for one in every),
        "with_reference": len(right),
        "right": int(sum(right)),
        "accuracy": None if accuracy is None else asdict(accuracy),
        "tokens": {
            "policy": policy,
            "scorer": scorer,
            "per_problem": (policy + scorer) / len(every) if every else None,
        },
        "draws": sum(one.draws for one in every),
        "steps_judged": sum(one.judged for one in every),
        "candidates": dict(sorted(Counter(str(c.path.end) for one in every for c in one.candidates).items())),
        "stopped_by_budget": sum(one.stopped == "budget" for one in every),
    }
