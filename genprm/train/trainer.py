"""TRL's ``SFTTrainer`` over rows that are already tokens and labels. Imports torch and trl: load it only to train.

What is ours here: where batches come from (length-sorted, of a token budget, resumable at any batch), the learning
rate's pace, and on CPU the loss. TRL tokenises nothing, cuts nothing, adds no end token and makes no labels: rows
come prepared, and its preparation is switched off.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset
from transformers import TrainerCallback
from trl import SFTTrainer

from genprm.prompts import IGNORED, Row
from genprm.recipes import OptimizerOptions
from genprm.train.optimizer import muon_adamw
from genprm.train.pace import Pace
from genprm.train.rows import Batches

STATE = "training_clock.json"
GRAIN = 64
"""Sizes are rounded up to it: in bf16 a CPU compiles its kernels anew for each size that it has not seen."""

Batch = dict[str, torch.Tensor]


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


def rounded(size: int) -> int:
    """The next multiple of ``GRAIN``."""
    return -(-size // GRAIN) * GRAIN


class BatchStream(IterableDataset[Batch]):
    """Batches as tensors, without end."""

    def __init__(self, batches: Batches, pad: int, first: int, stride: int, *, packing: bool = False) -> None:
        self._batches, self._pad, self._first, self._stride = batches, pad, first, stride
        self._collate = pack if packing else collate

    def __iter__(self) -> Iterator[Batch]:
        for rows in self._batches.iterate(self._first, self._stride):
            yield self._collate(rows, self._pad)


class Trainer(SFTTrainer):  # type: ignore[misc]
    """``SFTTrainer`` with our batches, optimizer, pace and CPU loss."""

    optimizer: Any

    def __init__(
        self,
        *args: Any,
        batches: Batches,
        pace: Pace,
        progress: Progress,
        optimizer: OptimizerOptions,
        first_batch: int = 0,
        packing: bool = False,
        **kwargs: Any,
    ) -> None:
        self._batches, self._packing = batches, packing
        self._optimizer_options = optimizer
        self._pace = pace
        self.progress = progress
        self._first_batch = first_batch
        self.lr_scheduler: Any = None
        super().__init__(*args, **kwargs)

    def get_train_dataloader(self) -> DataLoader[Batch]:
        """Each of several processes takes every n-th batch. Not wrapped by accelerate: it would shard once more."""
        first = self._first_batch + self.accelerator.process_index
        pad = self.processing_class.pad_token_id
        stream = BatchStream(self._batches, pad, first, self.accelerator.num_processes, packing=self._packing)
        return DataLoader(stream, batch_size=None)

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None and self._optimizer_options.kind == "muon":
            self.optimizer = muon_adamw(model or self.model, self._optimizer_options)
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, self._pace.factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card in checkpoints; the finished model gets ours."""

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


class Progress(TrainerCallback):  # type: ignore[misc]
    """Ends the training at its pace or when asked to, saves by the clock, writes a JSON line for each log entry."""

    def __init__(
        self, pace: Pace, log: Path, checkpoint_s: float, report: Callable[[str], None], *, tokens: int = 0
    ) -> None:
        self._pace, self._log, self._checkpoint_s = pace, log, checkpoint_s
        self._report = report
        self._saved = time.monotonic()
        self.tokens = tokens
        """Trained on so far, those of earlier runs included; padding is not counted."""
        self._mark = (tokens, 0.0)
        self.last_loss: float | None = None
        self.stopped = False
        """Somebody asked for an end; the step that runs is finished and saved."""

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """While it holds, a first Ctrl-C or SIGTERM saves a checkpoint and ends the training; a second ends it at once.

        Raises ``KeyboardInterrupt`` at the end where there was one. Only the main thread hears signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def give_back() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def asked(*_: Any) -> None:
            self.stopped = True
            give_back()

        for number in before:
            signal.signal(number, asked)
        try:
            yield
        finally:
            give_back()
        if self.stopped:
            raise KeyboardInterrupt

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._pace.begin()
        self._mark = (self.tokens, self._pace.elapsed_s)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._pace.share(state.global_step) >= 1:
            control.should_training_stop = True
            control.should_log = True
        elif self.stopped:
            control.should_save = control.should_training_stop = True
        elif time.monotonic() - self._saved >= self._checkpoint_s:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._saved = time.monotonic()
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / STATE).write_text(
            json.dumps({"elapsed_s": self._pace.elapsed_s, "tokens": self.tokens}), encoding="utf-8"
        )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        elapsed = self._pace.elapsed_s
        tokens, seconds = self.tokens - self._mark[0], elapsed - self._mark[1]
        self._mark = (self.tokens, elapsed)
        rate = tokens / seconds if seconds > 0 else 0.0
        self.last_loss = float(logs["loss"])
        share = self._pace.share(state.global_step)
        entry = {
            "step": state.global_step,
            "loss": round(self.last_loss, 5),
            "learning_rate": logs.get("learning_rate"),
            "grad_norm": logs.get("grad_norm"),
            "share": round(share, 4),
            "elapsed_s": round(elapsed, 1),
            "tokens_per_s": round(rate),
        }
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self._report(
            f"step {state.global_step}  loss {self.last_loss:.4f}  lr {entry['learning_rate']:.2e}  "
            f"{rate:,.0f} tokens/s  {elapsed / 60:.1f} min  {share:.0%}"
        )
