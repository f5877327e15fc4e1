"""What the solutions of a problem conclude, and which of them is taken. Reference answers decide nothing here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genprm.records.grading import Grader
from genprm.rollout import styles
from genprm.search.paths import Path, comparable
from genprm.search.plan import Strategy
from genprm.search.results import Candidate


async def conclude(
    path: Path, rewards: Sequence[float | None], score: float | None, reference: str, grader: Grader
) -> Candidate:
    """A path with its answer; right or wrong where the reference is known. Raises ``GraderUnavailable``."""
    answer, correct = "", False if reference else None
    if path.finished:
        answer = (await grader.read(styles.concluding(path.separator.join(path.steps)))).answer
        if reference:
            correct = (await grader.compare(reference, answer)).correct
    return Candidate(path, tuple(rewards), score, answer, correct)


async def choose(strategy: Strategy, candidates: Sequence[Candidate], grader: Grader) -> int | None:
    """The place of the candidate that is taken; ``None`` where none has an answer. Raises ``GraderUnavailable``.

    The highest score; or, in a weighted vote, the best of the answer with the largest sum of scores, of equal sums that
    which more candidates give. Ties go to the first.
    """
    answered = [place for place, one in enumerate(candidates) if one.answer.strip()]
    if strategy == "weighted":
        answered = _heaviest(await _grouped(candidates, answered, grader), candidates)
    return max(answered, key=lambda place: comparable(candidates[place].score), default=None)


def _heaviest(groups: Sequence[list[int]], candidates: Sequence[Candidate]) -> list[int]:
    def weight(group: list[int]) -> tuple[float, int]:
        return comparable(math.fsum(candidates[place].score or 0.0 for place in group)), len(group)

    return max(groups, key=weight) if groups else []


async def _grouped(candidates: Sequence[Candidate], places: Sequence[int], grader: Grader) -> list[list[int]]:
    """Candidates of one answer together: each joins the first group whose first answer it equals as a reference."""
    groups: list[list[int]] = []
    for place in places:
        answer = candidates[place].answer
        for group in groups:
            first = candidates[group[0]].answer
            if first == answer or (await grader.compare(first, answer)).correct:
                group.append(place)
                break
        else:
            groups.append([place])
    return groups
