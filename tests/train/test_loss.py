"""The CPU loss leaves out and rounds up for speed: it must stay the mean over the trained tokens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from genprm.prompts import IGNORED, Row
from genprm.train.loop import GRAIN
from genprm.train.trainer import Trainer, collate, pack


def network() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, num_hidden_layers=2, **shape))


def some_rows() -> list[Row]:
    short, long = torch.randint(3, 50, (30,)).tolist(), torch.randint(3, 50, (70,)).tolist()
    return [
        Row(tuple(short), (IGNORED,) * 10 + tuple(short[10:])),
        Row(tuple(long), (IGNORED,) * 20 + tuple(long[20:])),
    ]


def trainer(progress: SimpleNamespace) -> SimpleNamespace:
    alone = SimpleNamespace(num_processes=1)
    return SimpleNamespace(args=SimpleNamespace(bf16=False), accelerator=alone, progress=progress)


def test_sizes_are_rounded_and_the_loss_is_not_changed_by_it() -> None:
    model, batch = network(), collate(some_rows(), 0)
    assert batch["input_ids"].shape == (2, 2 * GRAIN)
    progress = SimpleNamespace(tokens=0)
    computed = Trainer.compute_loss(trainer(progress), model, batch)
    assert progress.tokens == 100
    targets = batch["labels"][:, 1:]
    trained = targets != IGNORED
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    assert computed.item() == pytest.approx(cross_entropy(logits[trained], targets[trained]).item(), rel=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_batch_has_the_loss_of_its_rows_and_the_same_gradients(attention: str) -> None:
    model, rows = network(), some_rows()
    model.set_attn_implementation(attention)
    packed = pack(rows, 0)
    assert packed["input_ids"].shape == (1, 2 * GRAIN)
    losses, gradients = [], []
    for batch in (collate(rows, 0), packed):
        model.zero_grad()
        loss = Trainer.compute_loss(trainer(SimpleNamespace(tokens=0)), model, batch)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)
