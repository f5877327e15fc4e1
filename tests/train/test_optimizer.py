"""Muon and AdamW as one optimizer: who steps what, and a schedule that reaches both."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaConfig, LlamaForCausalLM

from genprm.train.optimizer import muon_adamw
from genprm.train.options.common import OptimizerOptions

OPTIONS = OptimizerOptions(kind="muon", learning_rate=0.01, muon_scale=3.0)


def tiny_model() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, tie_word_embeddings=True,
        )
    )  # fmt: skip


def test_matrices_go_to_muon_and_tables_and_norms_to_adamw() -> None:
    model = tiny_model()
    optimizer = muon_adamw(model, OPTIONS)
    matrices, others = (group["params"] for group in optimizer.param_groups)
    assert all(parameter.ndim == 2 for parameter in matrices)
    assert any(parameter is model.get_input_embeddings().weight for parameter in others)
    assert {id(p) for p in [*matrices, *others]} == {id(p) for p in model.parameters()}


def test_a_schedule_sets_the_rates_of_both() -> None:
    optimizer = muon_adamw(tiny_model(), OPTIONS)
    scheduler = LambdaLR(optimizer, lambda step: 1 / (step + 1))
    optimizer.step()
    scheduler.step()
    assert [round(group["lr"], 6) for group in optimizer.param_groups] == [0.015, 0.005]


def test_its_state_can_be_saved_and_taken_up() -> None:
    torch.manual_seed(0)
    model = tiny_model()
    ids = torch.randint(3, 50, (2, 12))

    def step(optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()

    first = muon_adamw(model, OPTIONS)
    step(first)
    weights, state = {k: v.clone() for k, v in model.state_dict().items()}, deepcopy(first.state_dict())
    step(first)
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(weights)
    second = muon_adamw(model, OPTIONS)
    second.load_state_dict(state)
    step(second)
    assert all(torch.equal(expected[name], value) for name, value in model.state_dict().items())
