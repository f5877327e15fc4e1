"""What figures hide ("Lessons" of Qwen2.5-Math-PRM, section 3): does a process reward model judge processes? Pure.

* ``last_minimum``: a model that has become one of outcomes gives its lowest reward to the last step.
* ``behind_right_answers``: does it see a wrong step although the answer is right?
* calibration (see ``calibration``), of final answers and of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genprm.evaluate.calibration import Calibration, calibration, known_steps
from genprm.evaluate.samples import Samples
from genprm.evaluate.scored import Scored
from genprm.evaluate.statistics import RESAMPLES, Interval, mean_interval
from genprm.verdicts import THRESHOLD


def answer_calibration(sampled: Sequence[Samples]) -> dict[str, Calibration]:
    """Of each aggregation that lies in [0, 1]: the score as the chance that the final answer is right."""
    right = np.concatenate([one.correct.ravel() for one in sampled])
    found = {}
    for name in sampled[0].scores:
        scores = np.concatenate([one.scores[name].ravel() for one in sampled])
        known = ~np.isnan(scores)
        if (one := calibration(scores[known], right[known])) is not None:
            found[name] = one
    return found


def step_calibration(scored: Sequence[Scored]) -> Calibration | None:
    """Step rewards as the chance that the step is right. Up to the first error, which is all that labels tell: steps
    before it are right, it is wrong; later ones and steps without reward are left out."""
    pairs = []
    for one in scored:
        label = one.solution.label
        if label is None or one.rewards is None:
            continue
        known = one.rewards[: len(known_steps(label, len(one.rewards)))]
        pairs += [(reward, float(step != label)) for step, reward in enumerate(known) if reward is not None]
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    return calibration(table[:, 0], table[:, 1])


def last_minimum(scored: Sequence[Scored], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval | None:
    """Per cent of the solutions whose lowest reward is that of the last step; of k steps with the lowest reward, the
    last one counts 1/k. Of solutions of two steps or more with a reward at each; ``None`` without any."""
    shares, problems = [], []
    for one in scored:
        if one.rewards is None or len(one.rewards) < 2 or None in one.rewards:
            continue
        lowest = min(reward for reward in one.rewards if reward is not None)
        shares.append((one.rewards[-1] == lowest) / one.rewards.count(lowest))
        problems.append(one.problem)
    if not shares:
        return None
    return mean_interval(np.array(shares), problems=problems, seed=seed, resamples=resamples).times(100)


@dataclass(frozen=True, slots=True)
class BehindRightAnswers:
    """Solutions whose final answer is right and which have a wrong step, in per cent."""

    solutions: int
    share: Interval
    """Of the solutions with a right answer: those with a wrong step."""
    found: Interval | None
    """Of those with a wrong step: in which some step is called wrong; ``None`` where there are none."""
    exact: Interval | None
    """Of those: in which the first wrong step is named."""


def behind_right_answers(
    scored: Sequence[Scored], threshold: float = THRESHOLD, *, seed: int = 0, resamples: int = RESAMPLES
) -> BehindRightAnswers | None:
    """Of labelled solutions that say whether their answer is right; ``None`` without a right one. A solution without a
    verdict is a miss."""
    right = [one for one in scored if one.solution.final_answer_correct and one.solution.label is not None]
    if not right:
        return None

    def share(hits: Sequence[bool], of: Sequence[Scored]) -> Interval | None:
        if not of:
            return None
        values, problems = np.array(hits, dtype=float), [one.problem for one in of]
        return mean_interval(values, problems=problems, seed=seed, resamples=resamples).times(100)

    wrong = [one for one in right if one.solution.label != -1]
    verdicts = [one.predicted(threshold) for one in wrong]
    behind = share([one.solution.label != -1 for one in right], right)
    assert behind is not None
    return BehindRightAnswers(
        solutions=len(wrong),
        share=behind,
        found=share([verdict is not None and verdict >= 0 for verdict in verdicts], wrong),
        exact=share([verdict == one.solution.label for verdict, one in zip(verdicts, wrong, strict=True)], wrong),
    )
