"""Verification of held-out solutions while a training runs: the weights with the best F1 are the ones kept.

log/evaluations.jsonl   step, F1 and both accuracies, one line an evaluation
best/                   the model folder with the best F1 so far
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from genprm.errors import InputError
from genprm.records import read_solutions
from genprm.records.lines import read_lines
from genprm.train.options.rows import EvaluationOptions
from genprm.types import Solution

LOG, BEST = "evaluations.jsonl", "best"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the weights of one step reach, in per cent (see ``evaluate.processbench``)."""

    step: int
    f1: float
    error_accuracy: float
    correct_accuracy: float
    unknown: int
    solutions: int
    votes: int


def read_heldout(options: EvaluationOptions) -> tuple[Solution, ...]:
    """The labelled solutions. Raises ``InputError`` where one has no label, or all have the same kind of label."""
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


class HeldOut(TrainerCallback):  # type: ignore[misc]
    """Verifies the solutions every so many steps and at the end."""

    def __init__(
        self,
        options: EvaluationOptions,
        solutions: tuple[Solution, ...],
        out: Path,
        save: Callable[[Any, Path], Path],
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        """``save`` writes a model folder, and may change the model it is given. What earlier runs found stands."""
        self._options, self._solutions, self._out = options, solutions, out
        self._save, self._seed, self._report = save, seed, report
        path = out / "log" / LOG
        self.found = [Evaluation(**line) for _, line in read_lines(path)] if path.exists() else []
        self.log: Callable[[dict[str, float]], None] = lambda figures: None
        """Told every F1, for curves."""

    @property
    def best(self) -> Evaluation | None:
        """The first of those with the highest F1."""
        return max(self.found, key=lambda one: one.f1, default=None)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self._options.every == 0 and state.is_world_process_zero:
            self.evaluate(getattr(model, "module", model), state.global_step)  # several processes wrap it

    def evaluate(self, model: Any, step: int) -> None:
        """Verify with these weights, unless that was done."""
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
        with (self._out / "log" / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        self._report(
            f"step {step}  F1 {found.f1:.1f} on {found.solutions} held-out solutions (errors found "
            f"{found.error_accuracy:.1f} %, right ones accepted {found.correct_accuracy:.1f} %)"
        )
        self.log({"heldout_f1": found.f1})

    def _measure(self, folder: Path, step: int) -> Evaluation:
        from genprm.api import Verifier
        from genprm.evaluate.processbench import score

        options = self._options
        with Verifier(
            str(folder), votes=options.votes, engine="transformers", sandbox=options.sandbox, seed=self._seed,
            engine_options=options.engine_options,
        ) as verifier:  # fmt: skip
            verified = list(verifier.verify_many(self._solutions))
        labels = [int(solution.label or 0) for solution in self._solutions]
        found = score([one.predicted_label for one in verified], labels)
        return Evaluation(
            step, found.f1.value, found.error_accuracy.value, found.correct_accuracy.value, found.unknown,
            len(labels), options.votes,
        )  # fmt: skip
