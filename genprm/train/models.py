"""The model of a training: a base one or a new one, with its tokenizer, adapters and precision; and its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm.errors import MissingDependency, ModelError
from genprm.recipes import GenerativeTraining, LlamaShape, LoraOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from genprm.engines.tokenizers import HFTokenizer


def precision(wanted: str) -> tuple[bool, str]:
    """Whether to compute in bf16, and one line that says why."""
    import torch

    if wanted != "auto":
        return wanted == "bf16", f"training in {wanted}, as the recipe says"
    if torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported()
        return bf16, f"training on {torch.cuda.get_device_name()} in {'bf16' if bf16 else 'fp32'}"
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known.get("avx512_bf16") or known.get("amx_bf16"):
        return True, "this CPU has bf16 instructions: training in bf16"
    return False, "this CPU has no bf16 instructions: training in fp32, expect two to three times the time"


def processor() -> str:
    """The accelerator's name, or the processor's and its number of cores."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return f"{known.get('cpu_name') or 'a CPU'}, {os.cpu_count()} cores"


def parameters(options: GenerativeTraining) -> tuple[int, int]:
    """(all, without embeddings) of a new model; (0, 0) for a base model."""
    shape = options.model.shape
    if shape is None:
        return 0, 0
    head = shape.hidden_size // shape.heads
    attention = shape.hidden_size * head * (2 * shape.heads + 2 * shape.kv_heads)
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size + 2 * shape.hidden_size
    body = shape.layers * layer + shape.hidden_size
    tables = 1 if shape.tie_embeddings else 2
    return body + tables * options.tokenizer.vocab_size * shape.hidden_size, body


def open_model(
    options: GenerativeTraining, corpus: Any, out: Path, report: Callable[[str], None]
) -> tuple[PreTrainedModel, HFTokenizer]:
    """The model to train and its tokenizer; one that an earlier run trained on the corpus is read from ``out``."""
    from genprm.engines.tokenizers import HFTokenizer

    shape, base = options.model.shape, options.model.base
    if shape is None:
        from transformers import AutoModelForCausalLM

        tokenizer = HFTokenizer.from_folder(str(base))
        try:
            model = AutoModelForCausalLM.from_pretrained(base)
        except (OSError, ValueError) as error:
            raise ModelError(f"the base model '{base}' cannot be loaded: {str(error).splitlines()[0]}") from error
        return _with_adapters(model, options.model.lora), tokenizer
    from genprm.lab.tokenizer import train as train_tokenizer

    kept = out / "tokenizer"
    if kept.is_dir():
        from transformers import AutoTokenizer

        tokenizer = HFTokenizer(AutoTokenizer.from_pretrained(kept))
    else:
        begun = time.monotonic()
        conversations = options.tokenizer.conversations
        hf = train_tokenizer(corpus, vocab_size=options.tokenizer.vocab_size, conversations=conversations)
        report(
            f"tokenizer of {len(hf)} tokens trained on {conversations} conversations, {time.monotonic() - begun:.0f} s"
        )
        tokenizer = HFTokenizer(hf)
    return _with_adapters(new_llama(shape, tokenizer.hf), options.model.lora), tokenizer


def _with_adapters(model: Any, lora: LoraOptions | None) -> Any:
    if lora is None:
        return model
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise MissingDependency("peft", "train") from error
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return get_peft_model(
        model,
        LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
        ),
    )


def new_llama(shape: LlamaShape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A Llama model with random weights (of torch's random state)."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokens = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tie_embeddings,
        attn_implementation="sdpa",
        **tokens,
    )
    model: PreTrainedModel = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.95, top_k=20, **tokens)
    return model


def save_model(model: Any, tokenizer: Any, folder: Path) -> Path:
    """An ordinary model folder, weights in bf16. Adapters are merged; the model given is changed."""
    import torch

    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.config.use_cache = True  # off while training
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # the library writes weights that only their owner may read
    return folder
