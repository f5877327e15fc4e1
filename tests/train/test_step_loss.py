"""The loss of discriminative kinds: float targets reach it, padding and other rows do not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig

from genprm.scorers.models import head_class, token_class
from genprm.train.step_trainer import StepTrainer, collate, summed_loss
from genprm.train.steprows import StepRow

CONFIG = LlamaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1,
)  # fmt: skip
ROWS = [StepRow((1, 5, 6, 7), (1, 3), (0.3, 0.9)), StepRow(tuple(range(2, 12)), (4,), (0.1,))]


def test_float_targets_survive_to_the_loss() -> None:
    """Cross-entropy against 0.3 is that of 0.3, not of 0: for every target its minimum is where p equals it."""
    for target in (0.1, 0.3, 0.9):
        logit = torch.logit(torch.tensor(target))
        for loss in ("cross-entropy", "squares"):
            at = [summed_loss(torch.tensor([[0.0, logit + by]]), torch.tensor([target]), loss) for by in (-0.5, 0, 0.5)]  # type: ignore[arg-type]
            assert at[1] < at[0] and at[1] < at[2]
    assert collate(ROWS, 0)["targets"].flatten().tolist() == pytest.approx([0.3, 0.9, 0.1, -1.0])
    assert collate(ROWS, 0)["targets"].dtype == torch.float32


def test_cross_entropy_is_that_of_the_paper() -> None:
    logits, targets = torch.randn(6, 2), torch.rand(6)
    gap = logits[:, 1] - logits[:, 0]
    reference = torch.nn.functional.binary_cross_entropy_with_logits(gap, targets, reduction="sum")
    assert summed_loss(logits, targets, "cross-entropy").item() == pytest.approx(reference.item(), rel=1e-5)


@pytest.mark.parametrize("kind", [token_class, head_class])
def test_the_loss_is_the_mean_over_places_however_rows_are_batched(kind: object) -> None:
    torch.manual_seed(0)
    model = kind(LlamaConfig)(CONFIG)  # type: ignore[operator]
    model.right_and_wrong = (3, 4)
    stub = SimpleNamespace(
        args=SimpleNamespace(bf16=False), accelerator=SimpleNamespace(num_processes=1),
        progress=SimpleNamespace(tokens=0), _loss="cross-entropy",
    )  # fmt: skip
    together = StepTrainer.compute_loss(stub, model, collate(ROWS, 0))
    apart = sum(StepTrainer.compute_loss(stub, model, collate([row], 9), num_items_in_batch=3) for row in ROWS)
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)
    assert stub.progress.tokens == 28
