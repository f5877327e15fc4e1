"""TRL's ``SFTTrainer`` over rows that are already tokens and labels. Imports torch and trl: load it only to train.

What is ours here: the loop (see ``loop``), and on CPU the loss. TRL tokenises nothing, cuts nothing, adds no end token
and makes no labels: rows come prepared, and its preparation is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from genprm.prompts import IGNORED, Row
from genprm.train.loop import Batch, Paced, rounded


def collate(rows: Sequence[Row], pad: int) -> Batch:
    """One batch, padded on the right: ``input_ids``, ``labels``, ``attention_mask``, each (rows, longest, rounded)."""
    longest = rounded(max(len(row.input_ids) for row in rows))
    shape = (len(rows), longest)
    ids, labels = torch.full(shape, pad), torch.full(shape, IGNORED)
    mask = torch.zeros(shape, dtype=torch.long)
    for index, row in enumerate(rows):
        length = len(row.input_ids)
        ids[index, :length] = torch.tensor(row.input_ids)
        labels[index, :length] = torch.tensor(row.labels)
        mask[index, :length] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def pack(rows: Sequence[Row], pad: int) -> Batch:
    """The same batch as one sequence: ``input_ids``, ``labels`` and ``position_ids``, each (1, tokens, rounded).

    Positions begin anew with every row, which is how the library's attention knows where one ends; padding is one more
    row. The first token of a row is predicted from nothing, so it has no label.
    """
    total = sum(len(row.input_ids) for row in rows)
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    for row in (*rows, Row((pad,) * (rounded(total) - total), (IGNORED,) * (rounded(total) - total))):
        ids += row.input_ids
        labels += [IGNORED, *row.labels[1:]] if row.labels else []
        positions += range(len(row.input_ids))
    return {
        "input_ids": torch.tensor([ids]), "labels": torch.tensor([labels]), "position_ids": torch.tensor([positions])
    }  # fmt: skip


def fed_tokens(batch: Batch) -> int:
    """Tokens of a batch; padding counts only at the end of a packed one, where it is less than ``GRAIN``."""
    mask = batch.get("attention_mask")
    return int(batch["input_ids"].numel() if mask is None else mask.sum())


class Trainer(Paced, SFTTrainer):  # type: ignore[misc]
    """``SFTTrainer`` with our loop and CPU loss."""

    collate = staticmethod(collate)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean negative log-likelihood over the trained tokens of the whole optimizer step.

        In one process on a CPU the vocabulary is scored at trained positions only (TRL scores all there), and the
        attention mask is left out: padding is on the right, where causal attention cannot see it, and without a mask
        attention takes its triangular path. Both are exact.
        """
        if model.training:
            self.progress.tokens += fed_tokens(inputs) * self.accelerator.num_processes
        alone_on_cpu = inputs["input_ids"].device.type == "cpu" and self.accelerator.num_processes == 1
        if return_outputs or not alone_on_cpu:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        targets = inputs["labels"].roll(-1, dims=1).flatten()
        targets[inputs["labels"].shape[1] - 1 :: inputs["labels"].shape[1]] = IGNORED  # nothing follows the last
        (places,) = (targets != IGNORED).nonzero(as_tuple=True)
        count = len(places) if num_items_in_batch is None else num_items_in_batch
        (others,) = (targets == IGNORED).nonzero(as_tuple=True)
        places = torch.cat([places, others[: rounded(len(places)) - len(places)]])
        network = model.get_base_model() if hasattr(model, "get_base_model") else model  # adapters stand inside it
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.bf16):
            output = network.base_model(
                input_ids=inputs["input_ids"], position_ids=inputs.get("position_ids"), use_cache=False
            )
            states = output.last_hidden_state
            logits = network.get_output_embeddings()(states.flatten(0, 1)[places]).float()
        total = cross_entropy(logits, targets[places], ignore_index=IGNORED, reduction="sum")
        return total / torch.as_tensor(count).clamp(min=1)


class PackedTrainer(Trainer):
    """The same with rows packed."""

    collate = staticmethod(pack)
