"""Small random reward models of the published architectures, and the published ways of reading them, slowly."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from genprm.types import Solution
from tests.engines.models import save_model

TAG = "ки"
STRIPPING = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As the Llama 3.1 template does: turns are stripped, and a token ends each."""


def causal(folder: Path, architecture: str = "llama") -> Path:
    """A causal language model whose tokenizer begins a text with a token of its own and strips turns."""
    save_model(folder, architecture=architecture, seed=3, context=512)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    state["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    assert AutoTokenizer.from_pretrained(folder)("a")["input_ids"][0] == 0 != tokenizer("a")["input_ids"][0]
    (folder / "chat_template.jinja").write_text(STRIPPING, encoding="utf-8")
    return folder


def head(folder: Path, architecture: str = "qwen2") -> Path:
    """A folder as Qwen2.5-Math-PRM ships: the published names of tensors and classes, code of its own named."""
    from safetensors.torch import load_file, save_file

    save_model(folder, architecture=architecture, seed=4, context=512)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    tokenizer.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    torch.manual_seed(5)
    embedding = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = torch.cat([embedding, torch.randn(len(tokenizer), embedding.shape[1])])[
        : len(tokenizer)
    ]
    for name, module in (("score.0", nn.Linear(32, 32)), ("score.2", nn.Linear(32, 2))):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = module.weight.detach(), module.bias.detach()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "vocab_size": len(tokenizer),
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def tagged(folder: Path, solution: Solution, separator: str) -> list[float]:
    """Math-Shepherd's and ER-PRM's: the whole text through the tokenizer, all logits, each tag found by its tokens."""
    model, tokenizer = loaded(folder)
    steps = [f"Step {n}: {step} {TAG}" for n, step in enumerate(solution.steps, start=1)]
    ids = tokenizer(f"{solution.problem} {separator.join(steps)}", return_tensors="pt")["input_ids"]
    right, wrong = tokenizer.encode(" +")[-1], tokenizer.encode(" -")[-1]
    scores = model(ids).logits[0][:, [right, wrong]].softmax(-1)[:, 0]
    tag = tokenizer.encode(f" {TAG}", add_special_tokens=False)[-4:]
    found = [n for n in range(len(tag), ids.shape[1] + 1) if ids[0, n - len(tag) : n].tolist() == tag]
    return [float(scores[n - 1]) for n in found]


@torch.no_grad()
def turns(folder: Path, solution: Solution) -> list[float]:
    """RLHFlow's: one pass for each step, read where the last "+" is predicted."""
    model, tokenizer = loaded(folder)
    talk, rewards = [], []
    right, wrong = tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]
    for index, step in enumerate(solution.steps):
        talk.append({"role": "user", "content": f"{solution.problem} {step}" if index == 0 else step})
        talk.append({"role": "assistant", "content": "+"})
        ids = tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)["input_ids"]
        rewards.append(float(model(ids).logits[0, -3, [right, wrong]].softmax(-1)[0]))
    return rewards


@torch.no_grad()
def headed(folder: Path, solution: Solution) -> list[float]:
    """Qwen2.5-Math-PRM's model card: the chat as text, the head over every state, "<extra_0>" found by its id."""
    from safetensors.torch import load_file

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = backbone(folder)
    tensors = load_file(folder / "model.safetensors")
    talk = [
        {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
        {"role": "user", "content": solution.problem},
        {"role": "assistant", "content": "<extra_0>".join(solution.steps) + "<extra_0>"},
    ]
    text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=False)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    states = model(ids).last_hidden_state[0]
    inner = torch.relu(states @ tensors["score.0.weight"].T + tensors["score.0.bias"])
    scores = (inner @ tensors["score.2.weight"].T + tensors["score.2.bias"]).softmax(-1)[:, 1]
    return [float(score) for score in scores[ids[0] == tokenizer.encode("<extra_0>")[0]]]


@cache
def backbone(folder: Path) -> Any:
    """The layers alone, filled by hand."""
    from safetensors.torch import load_file
    from transformers import AutoModel, Qwen2Config

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = AutoModel.from_config(Qwen2Config(**{key: config[key] for key in config if key != "auto_map"}))
    tensors = load_file(folder / "model.safetensors")
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    return model.eval()
