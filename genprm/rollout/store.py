"""The samples and rollouts of a run directory: its files hold them, memory only their keys."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from genprm.records import rollout_from_dict, rollout_to_dict
from genprm.rollout.budget import Outcome
from genprm.rollout.samples import Sample, sample_from_dict, sample_to_dict
from genprm.runs import RunDirectory
from genprm.types import Rollout

SAMPLES = "samples.jsonl"
ROLLOUTS = "rollouts.jsonl"


class Store:
    """What is finished, by key."""

    def __init__(self, run: RunDirectory) -> None:
        """``run`` was opened with ``rollouts.jsonl`` as its units."""
        self._samples = run.open_units(SAMPLES)
        self._rollouts = run.units

    def add(self, result: Sample | Rollout) -> None:
        """Append one result; it survives a kill of this process once this returns."""
        if isinstance(result, Sample):
            self._samples.append(sample_to_dict(result))
        else:
            self._rollouts.append(rollout_to_dict(result))

    def sample(self, key: str) -> Sample:
        return sample_from_dict(self._samples[key], source=str(self._samples.path))

    def rollout(self, key: str) -> Rollout:
        return rollout_from_dict(self._rollouts[key], source=str(self._rollouts.path))

    def outcomes(self) -> dict[str, Outcome]:
        """Of all samples, by key."""
        return {key: self.sample(key).outcome for key in self._samples}

    @property
    def rollouts(self) -> Collection[str]:
        """The keys of all rollouts."""
        return cast(Collection[str], self._rollouts)
