"""TRL's ``GRPOTrainer`` over our prompts, rewards and advantages. Imports torch and trl: load it only to train.

TRL samples, computes probabilities and the loss. What is ours: prompts are token ids made from segments, as in
sampling; every group is drawn from a seed of its step, so a training that goes on draws the same; and advantages are of
shape (batch, tokens), which TRL's loss takes from subclasses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from trl import GRPOTrainer

from genprm.errors import InputError
from genprm.runs.keys import seed_of
from genprm.train.grpo_groups import Read, Reader
from genprm.train.loop import Paced

LOGGED = ("reward", "accuracy", "process_reward", "judged", "format", "length", "entropy", "kl")
"""Means over the completions since the last line: mixed reward; share of right answers; score of those that could be
judged; share of these among those with the right format; share of those; tokens. Entropy and divergence from the first
policy are TRL's, of a token."""


class GroupTrainer(Paced, GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` with the credit of steps."""

    collate = staticmethod(lambda rows, pad: rows)

    def __init__(self, *args: Any, reader: Reader, **kwargs: Any) -> None:
        self._reader = reader
        self._read: list[Read] = []
        super().__init__(*args, reward_funcs=self._reward, **kwargs)

    def _reward(
        self, prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], id: Sequence[str], **columns: Any
    ) -> list[float]:
        """What TRL logs as the reward; what was read is kept for the advantages."""
        self._read = self._reader.read(id, completion_ids)
        scored = [one.reward.score for one in self._read if one.reward is not None and one.reward.score is not None]
        formed = sum(one.reward is not None for one in self._read)
        if self._reader.share and formed and not scored:
            raise InputError(
                f"the reward model judged none of the {formed} solutions of a step; it is no verifier of these "
                "texts, or its context is too short for them"
            )
        figures = {
            "accuracy": _mean([one.right for one in self._read]),
            "format": formed / len(self._read),
            **({"judged": len(scored) / formed} if formed else {}),
            "length": _mean([len(one.ids) for one in self._read]),
            **({"process_reward": _mean(scored)} if scored else {}),
        }
        for name, value in figures.items():
            columns["log_metric"](name, value)
        return [self._reader.score(one) for one in self._read]

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self._reader.prompt(text) for text in prompts], None, {}

    def _generate_single_turn(self: Any, *args: Any, **kwargs: Any) -> Any:
        torch.manual_seed(seed_of("groups", self.args.seed, self.state.global_step))
        return super()._generate_single_turn(*args, **kwargs)

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        width = output["completion_ids"].shape[1]
        self.progress.tokens += sum(len(one.ids) for one in self._read)
        output["advantages"] = padded(self._reader.advantages(self._read), width).to(output["advantages"].device)
        return output


def padded(rows: Sequence[Sequence[float]], width: int) -> torch.Tensor:
    """(rows, width), zeros behind the end of each."""
    return torch.tensor([[*row, *[0.0] * (width - len(row))] for row in rows], dtype=torch.float32)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
