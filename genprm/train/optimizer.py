"""Muon for the weight matrices, AdamW for everything else, as one optimizer.

Muon (Jordan et al. 2024) turns a matrix's momentum into the nearest orthogonal matrix before the step; its authors
keep embeddings, heads and vectors on AdamW. The update is scaled to AdamW's root mean square (Liu et al. 2025,
"Muon is scalable", section 2.2), so one learning rate serves both. Imports torch: load it only to train.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch.nn import Module, Parameter
from torch.optim import AdamW, Muon, Optimizer

from genprm.train.options.common import OptimizerOptions


class MuonAdamW(Optimizer):
    """Two optimizers behind one face: groups, state and steps of both."""

    def __init__(self, matrices: list[Parameter], others: list[Parameter], options: OptimizerOptions) -> None:
        rate, decay = options.learning_rate, options.weight_decay
        self._both: tuple[Optimizer, Optimizer] = (
            Muon(matrices, lr=rate * options.muon_scale, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            AdamW(others, lr=rate, weight_decay=0.0, betas=(options.beta1, options.beta2)),
        )
        super().__init__([*matrices, *others], {})
        # The same dictionaries, so that a scheduler that sets a group's rate sets it in the optimizer that steps.
        self.param_groups = [group for each in self._both for group in each.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for each in self._both:
            each.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._both[0].state_dict(), "adamw": self._both[1].state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, each in zip(("muon", "adamw"), self._both, strict=True):
            each.load_state_dict(state_dict[name])
        self.param_groups = [group for each in self._both for group in each.param_groups]


def muon_adamw(model: Module, options: OptimizerOptions) -> MuonAdamW:
    """For a language model: Muon where a matrix maps states to states, AdamW for tables, head and norms."""
    tables = [
        module
        for module in (model.get_input_embeddings(), model.get_output_embeddings())  # type: ignore[operator]
        if module is not None
    ]
    apart = {id(parameter) for parameter in chain.from_iterable(table.parameters() for table in tables)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim == 2 and id(parameter) not in apart]
    chosen = {id(parameter) for parameter in matrices}
    return MuonAdamW(matrices, [parameter for parameter in trained if id(parameter) not in chosen], options)
