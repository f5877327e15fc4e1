"""What the trainers of all kinds share: batches as they are made, the pace, the progress. Imports torch.

Batches come length-sorted and resumable at any of them; the learning rate follows the pace; a training ends at its pace
or when it is asked to, and is saved by the clock. A loss that is no number ends it in one sentence, before the weights
take it.
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
from torch.utils.data import DataLoader, IterableDataset
from transformers import TrainerCallback

from genprm.errors import Diverged
from genprm.records.lines import replace_text
from genprm.train.optimizer import muon_adamw
from genprm.train.options.common import OptimizerOptions
from genprm.train.pace import Pace
from genprm.train.running import BatchSource

STATE = "training_clock.json"
GRAIN = 64
"""Sizes are rounded up to it: in bf16 a CPU compiles its kernels anew for each size that it has not seen."""

Batch = dict[str, torch.Tensor]
Collate = Callable[[Sequence[Any], int], Batch]


def rounded(size: int) -> int:
    """The next multiple of ``GRAIN``."""
    return -(-size // GRAIN) * GRAIN


class BatchStream(IterableDataset[Batch]):
    """Batches as tensors, without end."""

    def __init__(self, batches: BatchSource, collate: Collate, pad: int, first: int, stride: int) -> None:
        self._batches, self._collate, self._pad, self._first, self._stride = batches, collate, pad, first, stride

    def __iter__(self) -> Iterator[Batch]:
        for rows in self._batches.iterate(self._first, self._stride):
            yield self._collate(rows, self._pad)


class Paced:
    """For a trainer of the library: our batches, optimizer and pace. ``collate`` makes tensors of a batch's rows."""

    collate: Collate
    optimizer: Any

    def __init__(
        self,
        *args: Any,
        batches: BatchSource,
        pace: Pace,
        progress: Progress,
        optimizer: OptimizerOptions,
        first_batch: int = 0,
        **kwargs: Any,
    ) -> None:
        self._batches = batches
        self._optimizer_options = optimizer
        self._pace = pace
        self.progress = progress
        self._first_batch = first_batch
        self.lr_scheduler: Any = None
        super().__init__(*args, **kwargs)

    def get_train_dataloader(self: Any) -> DataLoader[Batch]:
        """Each of several processes takes every n-th batch. Not wrapped by accelerate: it would shard once more."""
        first = self._first_batch + self.accelerator.process_index
        tokenizer = self.processing_class
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        stream = BatchStream(self._batches, type(self).collate, pad, first, self.accelerator.num_processes)
        return DataLoader(stream, batch_size=None)

    def create_optimizer(self: Any, model: Any = None) -> Any:
        if self.optimizer is None and self._optimizer_options.kind == "muon":
            self.optimizer = muon_adamw(model or self.model, self._optimizer_options)
        return super().create_optimizer(model)  # type: ignore[misc]

    def create_scheduler(self: Any, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, self._pace.factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card in checkpoints; the finished model gets ours."""

    def _send_telemetry(self) -> None:
        """TRL reports trainings to its makers; ours are nobody's business."""

    def training_step(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Raises ``Diverged`` for a loss that is no number; the library would log the loss before it instead."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        if not torch.isfinite(loss):
            raise Diverged(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}; lower optimizer.learning_rate "
                f"({self._optimizer_options.learning_rate:g}) or optimizer.clip, or check the data"
            )
        return loss


def require_finite(model: Any, rate: float) -> None:
    """Raises ``Diverged`` for weights that the last step broke, which no loss was computed with."""
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise Diverged(f"the weights {name} are no numbers after the last step; lower optimizer.learning_rate "
                           f"({rate:g}) or optimizer.clip")  # fmt: skip


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
        self.names: tuple[str, ...] = ()
        """Figures that the trainer logs itself and the log shall have."""
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
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        replace_text(folder / STATE, json.dumps({"elapsed_s": self._pace.elapsed_s, "tokens": self.tokens}))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs or not state.is_world_process_zero:
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
            **{name: logs[name] for name in self.names if logs.get(name) is not None},
        }
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        shown = "".join(f"{name} {entry[name]:.3g}  " for name in self.names if name in entry)
        self._report(
            f"step {state.global_step}  loss {self.last_loss:.4f}  {shown}lr {entry['learning_rate']:.2e}  "
            f"{rate:,.0f} tokens/s  {elapsed / 60:.1f} min  {share:.0%}"
        )
