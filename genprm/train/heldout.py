"""Evaluation on held-out solutions while a training runs: the weights with the best F1 are the ones kept.

log/evaluations.jsonl   step, F1 and both accuracies, one line an evaluation
best/                   the model folder with the best F1 so far

A generative model verifies them by votes (``by_votes``); a discriminative one scores them (``by_rewards``), and its F1
is at the threshold that is best for these very solutions: good to choose weights by, an upper bound as a figure.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from genprm.errors import InputError
from genprm.records import read_solutions
from genprm.records.lines import read_lines, write_lines
from genprm.train.models import Report
from genprm.train.options.rows import EvaluationOptions, VerificationOptions
from genprm.types import Solution
from genprm.verdicts import THRESHOLD, predicted_label

LOG, BEST = "evaluations.jsonl", "best"

Predict = Callable[[Path, Sequence[Solution]], tuple[Sequence[int | None], float]]
"""The label that a model folder predicts for each solution, and the threshold of rewards that it took."""
Save = Callable[[Any, Path], Path]
"""Writes the model folder of some weights, and may change the model that it is given."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the weights of one step reach, in per cent (see ``evaluate.processbench``)."""

    step: int
    f1: float
    error_accuracy: float
    correct_accuracy: float
    unknown: int
    solutions: int
    threshold: float


def read_heldout(options: EvaluationOptions | None) -> tuple[Solution, ...]:
    """The labelled solutions, none without options.

    Raises ``InputError`` where one has no label, or all have the same kind of label.
    """
    if options is None:
        return ()
    solutions = read_solutions(options.data, limit=options.limit).solutions
    if bare := [one.id for one in solutions if one.label is None]:
        raise InputError(f"{options.data}: solution {bare[0]} has no 'label'; evaluate on labelled solutions")
    wrong = sum(one.label != -1 for one in solutions)
    if wrong in (0, len(solutions)):
        raise InputError(
            f"{options.data}: {wrong} of the first {len(solutions)} solutions have an error, and F1 needs both kinds; "
            "raise evaluation.limit or shuffle the file"
        )
    return solutions


def _labels(solutions: Sequence[Solution]) -> list[int]:
    return [one.label for one in solutions if one.label is not None]


def by_votes(options: VerificationOptions, seed: int) -> Predict:
    """Predictions of a generative model."""

    def predict(folder: Path, solutions: Sequence[Solution]) -> tuple[Sequence[int | None], float]:
        from genprm.api import Verifier

        with Verifier(
            str(folder), votes=options.votes, engine="transformers", sandbox=options.sandbox, seed=seed,
            engine_options=options.engine_options,
        ) as verifier:  # fmt: skip
            return [one.predicted_label for one in verifier.verify_many(solutions)], THRESHOLD

    return predict


def by_rewards(folder: Path, solutions: Sequence[Solution]) -> tuple[Sequence[int | None], float]:
    """Predictions of a discriminative model at its best threshold; at 0.5 where none separates anything."""
    from genprm.evaluate.thresholds import best_threshold
    from genprm.scorers import Synchronous, open_scorer

    with Synchronous(open_scorer(str(folder))) as scorer:
        rewards = [one.rewards for one in scorer.score(solutions)]
    try:
        threshold = best_threshold(rewards, _labels(solutions))
    except InputError:
        threshold = THRESHOLD
    return [predicted_label(own, threshold) for own in rewards], threshold


class HeldOut(TrainerCallback):  # type: ignore[misc]
    """Evaluates on the solutions every so many steps and at the end."""

    def __init__(
        self,
        options: EvaluationOptions,
        solutions: tuple[Solution, ...],
        out: Path,
        save: Save,
        predict: Predict,
        report: Report,
    ) -> None:
        """What earlier runs found stands."""
        self._every, self._solutions, self._out = options.every, solutions, out
        self._save, self._predict, self._report = save, predict, report
        path = out / "log" / LOG
        self.found = [Evaluation(**line) for _, line in read_lines(path)] if path.exists() else []
        self.log: Callable[[dict[str, float]], None] = lambda figures: None
        """Told every F1, for curves."""

    @property
    def best(self) -> Evaluation | None:
        """The first of those with the highest F1."""
        return max(self.found, key=lambda one: one.f1, default=None)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self._every == 0 and state.is_world_process_zero:
            self.evaluate(getattr(model, "module", model), state.global_step)  # several processes wrap it

    def evaluate(self, model: Any, step: int) -> None:
        """Evaluate these weights, unless that was done."""
        if any(one.step == step for one in self.found):
            return
        folder = self._out / "evaluated"
        shutil.rmtree(folder, ignore_errors=True)
        found = self._measure(self._save(copy.deepcopy(model), folder), step)
        best = self.best
        if best is None or found.f1 > best.f1:
            shutil.rmtree(self._out / BEST, ignore_errors=True)
            folder.rename(self._out / BEST)
        else:
            shutil.rmtree(folder)
        self.found.append(found)
        write_lines(self._out / "log" / LOG, map(asdict, self.found))
        self._report(
            f"step {step}  F1 {found.f1:.1f} on {found.solutions} held-out solutions (errors found "
            f"{found.error_accuracy:.1f} %, right ones accepted {found.correct_accuracy:.1f} %)"
        )
        self.log({"heldout_f1": found.f1})

    def _measure(self, folder: Path, step: int) -> Evaluation:
        from genprm.evaluate.processbench import score

        predicted, threshold = self._predict(folder, self._solutions)
        labels = _labels(self._solutions)
        found = score(predicted, labels)
        return Evaluation(
            step, found.f1.value, found.error_accuracy.value, found.correct_accuracy.value, found.unknown,
            len(labels), threshold,
        )  # fmt: skip
