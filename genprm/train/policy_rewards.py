"""What solutions are worth to a policy training: what a frozen reward model says of them, or a control.

A reward model is asked once about a problem and its steps, whichever policy wrote them and however often. It is loaded
when it is needed and freed by ``rest``, so that policy and reward model need not fit into memory together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from genprm import resources
from genprm.engines.loading import check_folder
from genprm.errors import InputError
from genprm.runs.keys import digest, seed_of
from genprm.runs.units import UnitFile
from genprm.scorers.base import Synchronous
from genprm.scorers.opening import is_discriminative, open_scorer, require_fitting
from genprm.train.options.policies import RewardOptions
from genprm.types import Solution
from genprm.verify.aggregate import scores

AT_ONCE = 128
"""Solutions to a call of the scorer; so much is lost at most when a run is killed."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What one solution is worth."""

    score: float | None
    """Of the whole; ``None`` where the reward model could not judge every step."""
    steps: tuple[float | None, ...] = ()
    """Of each step, in [0, 1]; empty where the reward knows no steps."""


class Units(Protocol):
    """Where rewards are kept by key."""

    def __contains__(self, key: object) -> bool: ...
    def __getitem__(self, key: str) -> dict[str, Any]: ...
    def append(self, unit: Mapping[str, Any]) -> None:
        """Keep one."""


class Memory(dict[str, dict[str, Any]]):
    """Rewards that are not kept beyond the process."""

    def append(self, unit: Mapping[str, Any]) -> None:
        self[unit["key"]] = dict(unit)


class Rewards:
    """The rewards of a training."""

    def __init__(self, options: RewardOptions, seed: int, units: UnitFile | Memory | None = None) -> None:
        """Raises ``InputError`` for options that the model has no use for."""
        self._options, self._seed = options, seed
        self._given = _scorer_options(options, seed)
        self._units: Units = Memory() if units is None else units
        self._scorer: Synchronous[Any] | None = None

    @property
    def floor(self) -> float:
        """What is worth less is never the best: a wrong answer, where only the answer counts."""
        return 1.0 if self._options.kind == "outcome" else 0.0

    def of(self, solutions: Sequence[Solution]) -> list[Reward]:
        """In their order. Each needs its id, and ``final_answer_correct`` where the answer counts.

        Raises ``EngineUnavailable`` or ``SandboxUnavailable``, what is scored being kept.
        """
        if self._options.kind == "outcome":
            return [Reward(float(bool(one.final_answer_correct))) for one in solutions]
        if self._options.kind == "random":
            return [Reward(seed_of("reward", self._seed, one.id, list(one.steps)) / 2**63) for one in solutions]
        keys = [self._key(one) for one in solutions]
        self._score({key: one for key, one in zip(keys, solutions, strict=True) if key not in self._units})
        return [self._read(key) for key in keys]

    def rest(self) -> None:
        """Free the reward model; it is loaded again when it is needed."""
        if self._scorer is not None:
            self._scorer.close()
        self._scorer = None

    def _score(self, owed: Mapping[str, Solution]) -> None:
        left = list(owed.items())
        for start in range(0, len(left), AT_ONCE):
            chunk = left[start : start + AT_ONCE]
            for (key, _), scored in zip(chunk, self._open().score([one for _, one in chunk]), strict=True):
                self._units.append({"key": key, "rewards": list(scored.rewards)})

    def _open(self) -> Synchronous[Any]:
        if self._scorer is None:
            assert self._options.model is not None
            self._scorer = Synchronous(open_scorer(self._options.model, self._options.scorer, **self._given))
        return self._scorer

    def _read(self, key: str) -> Reward:
        steps = tuple(self._units[key]["rewards"])
        return Reward(getattr(scores(steps), self._options.aggregation), steps)

    def _key(self, solution: Solution) -> str:
        model = json.dumps({"model": self._options.model, **self._given}, sort_keys=True)
        return digest("reward", model, solution.problem, list(solution.steps))[:32]


def _scorer_options(options: RewardOptions, seed: int) -> dict[str, Any]:
    """What the scorer is opened with. Raises ``InputError``."""
    if options.kind != "scorer":
        return {}
    assert options.model is not None
    check_folder(resources.model(options.model), weights=True)
    require_fitting(options.model, options.scorer, options.aggregation)
    asked = {name: value for name in ("votes", "mode", "sandbox", "engine") if (value := getattr(options, name))}
    if not is_discriminative(options.model, options.scorer):
        engine = {"engine_options": dict(options.engine_options)} if options.engine_options else {}
        return {"votes": 1, "seed": seed, **asked, **engine}
    if asked:
        raise InputError(
            f"reward.{min(asked)} is of generative models, and {options.model} reads a solution in one pass: leave it "
            "out"
        )
    return dict(options.engine_options)
