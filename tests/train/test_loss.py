"""The CPU loss leaves out and rounds up for speed: it must stay the mean over the trained tokens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from genprm.prompts import IGNORED, Row
from genprm.train.trainer import GRAIN, Trainer, collate


def test_sizes_are_rounded_and_the_loss_is_not_changed_by_it() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1,
        )
    )  # fmt: skip
    short, long = torch.randint(3, 50, (30,)).tolist(), torch.randint(3, 50, (70,)).tolist()
    rows = [
        Row(tuple(short), (IGNORED,) * 10 + tuple(short[10:])),
        Row(tuple(long), (IGNORED,) * 20 + tuple(long[20:])),
    ]
    batch = collate(rows, 0)
    assert batch["input_ids"].shape == (2, 2 * GRAIN)

    progress = SimpleNamespace(tokens=0)
    alone = SimpleNamespace(num_processes=1)
    stub = SimpleNamespace(args=SimpleNamespace(bf16=False), accelerator=alone, progress=progress)
    computed = Trainer.compute_loss(stub, model, batch)
    assert progress.tokens == 100
    targets = batch["labels"][:, 1:]
    trained = targets != IGNORED
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    assert computed.item() == pytest.approx(cross_entropy(logits[trained], targets[trained]).item(), rel=1e-5)
