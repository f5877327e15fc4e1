"""The library's trainer over rows with float targets. Imports torch: load it only to train.

Targets are numbers from the file to the loss: they are in no integer tensor, and keep fp32 whatever the model computes
in. A batch is ``input_ids`` (rows, longest, rounded), ``places`` and ``targets`` (rows, most places), -1 where a row
has fewer, and ``tokens``, how many are not padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from transformers import Trainer

from genprm.train.loop import Batch, Paced, rounded
from genprm.train.steprows import StepRow

Loss = Literal["cross-entropy", "squares"]


def collate(rows: Sequence[StepRow], pad: int) -> Batch:
    """One batch, padded on the right."""
    most = max(1, *(len(row.places) for row in rows))
    ids = torch.full((len(rows), rounded(max(len(row.input_ids) for row in rows))), pad)
    places, targets = torch.full((len(rows), most), -1), torch.full((len(rows), most), -1.0)
    for index, row in enumerate(rows):
        ids[index, : len(row.input_ids)] = torch.tensor(row.input_ids)
        places[index, : len(row.places)] = torch.tensor(row.places, dtype=torch.long)
        targets[index, : len(row.targets)] = torch.tensor(row.targets)
    tokens = torch.tensor(sum(len(row.input_ids) for row in rows))
    return {"input_ids": ids, "places": places, "targets": targets, "tokens": tokens}


def summed_loss(logits: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    """The sum over places of logits (n, 2) of wrong and right, against the probability (n,) of right.

    Cross-entropy: -v log p - (1 - v) log(1 - p), as ER-PRM has it; with v of 0 and 1 it is that of classes. Squares:
    (p - v)^2, the soft ablation of Qwen2.5-Math-PRM.
    """
    logs = log_softmax(logits.float(), dim=-1)
    if loss == "squares":
        return ((logs[:, 1].exp() - targets) ** 2).sum()
    return -(targets * logs[:, 1] + (1 - targets) * logs[:, 0]).sum()


class StepTrainer(Paced, Trainer):  # type: ignore[misc]
    """The library's trainer with our loop, and the mean loss over the places of the whole optimizer step."""

    collate = staticmethod(collate)

    def __init__(self, *args: Any, loss: Loss, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loss = loss
        self.model_accepts_loss_kwargs = True  # the count below makes the mean; the library must not divide again

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The batches of one optimizer step, and the number of their places in all processes."""
        batches = [next(epoch_iterator) for _ in range(num_batches)]
        count = sum(int((batch["places"] >= 0).sum()) for batch in batches)
        return batches, self.accelerator.gather(torch.tensor(count, device=device)).sum()

    def _prepare_inputs(self, inputs: Batch) -> Any:
        targets = inputs.pop("targets")
        ready = super()._prepare_inputs(inputs)
        # The library casts floats to the model's precision under DeepSpeed; these must stay what they are.
        return {**ready, "targets": targets.to(ready["places"].device)}

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        places, targets = inputs["places"], inputs["targets"]
        if model.training:
            self.progress.tokens += int(inputs["tokens"]) * self.accelerator.num_processes
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.bf16 and places.device.type == "cpu"):
            logits = model(input_ids=inputs["input_ids"], places=places, use_cache=False)
        known = places >= 0
        count = known.sum() if num_items_in_batch is None else num_items_in_batch
        # Gradients are averaged over processes, and the count is that of all of them.
        total = summed_loss(logits[known], targets[known], self._loss) * self.accelerator.num_processes
        loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
        return (loss, logits) if return_outputs else loss
