"""The model of a training: a base one or a new one, with its tokenizer, adapters and precision; and its folder."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm import resources
from genprm.errors import MissingDependency, ModelError
from genprm.train.options.common import LlamaShape, LoraOptions, Stepped
from genprm.train.options.rows import Training

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from genprm.lab.tokenizer import Corpus

Report = Callable[[str], None]


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


def attention_of_short_rows() -> str:
    """On a CPU, plain attention: going backwards through sdpa takes longer there while rows are short."""
    import torch

    return "sdpa" if torch.cuda.is_available() else "eager"


def processor() -> str:
    """The accelerator's name, or the processor's and its number of cores."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return f"{known.get('cpu_name') or 'a CPU'}, {os.cpu_count()} cores"


def parameters(options: Training) -> tuple[int, int]:
    """(all, without embeddings) of a new causal language model; (0, 0) for a base model."""
    shape = options.model.shape
    if shape is None:
        return 0, 0
    head = shape.hidden_size // shape.heads
    attention = shape.hidden_size * head * (2 * shape.heads + 2 * shape.kv_heads)
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size + 2 * shape.hidden_size
    body = shape.layers * layer + shape.hidden_size
    tables = 1 if shape.tie_embeddings else 2
    return body + tables * options.tokenizer.vocab_size * shape.hidden_size, body


def set_seed(seed: int) -> None:
    """Of whatever random numbers a new model takes."""
    from transformers import set_seed as library

    library(seed)


def base_tokenizer(options: Stepped) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model."""
    from genprm.engines.loading import load_tokenizer

    assert options.model.base is not None
    return load_tokenizer(resources.model(options.model.base))


def opened_tokenizer(
    options: Training, corpus: Corpus, out: Path, report: Report, *, added: str | None = None
) -> PreTrainedTokenizerBase:
    """The base model's tokenizer, or a new one trained on the corpus (or what an earlier run trained).

    ``added``: a special token that it shall have.
    """
    kept = out / "tokenizer"
    if options.model.base is not None:
        hf = base_tokenizer(options)
    elif kept.is_dir():
        from transformers import AutoTokenizer

        hf = AutoTokenizer.from_pretrained(kept)
    else:
        from genprm.lab.tokenizer import train as train_tokenizer

        begun = time.monotonic()
        conversations = options.tokenizer.conversations
        hf = train_tokenizer(corpus, vocab_size=options.tokenizer.vocab_size, conversations=conversations)
        report(
            f"tokenizer of {len(hf)} tokens trained on {conversations} conversations, {time.monotonic() - begun:.0f} s"
        )
    if added is not None and added not in hf.get_vocab():
        from tokenizers import AddedToken

        hf.add_tokens([AddedToken(added, special=True, normalized=False)], special_tokens=True)
    return hf


def opened_model(
    options: Stepped, tokenizer: PreTrainedTokenizerBase, kind: Callable[[type], Any], *, attention: str = "sdpa"
) -> Any:
    """The base model, or a new one (of torch's random state), as what ``kind`` makes of its configuration's class.

    Weights that are stepped are held in fp32, however they were saved: in bf16 a step below a 256th of a weight is
    rounded away, which is most steps at the usual rates. Those that adapters leave as they are keep their kind.
    """
    import torch
    from transformers import AutoConfig, LlamaConfig

    base = options.model.base
    if base is None:
        return kind(LlamaConfig)(llama_config(options.model.shape, tokenizer, attention))
    place = resources.model(base)
    try:
        with quiet():  # a base model has no reward head, and need not be told so
            config = AutoConfig.from_pretrained(place, trust_remote_code=False)
            held = torch.float32 if options.model.lora is None else "auto"
            model = kind(type(config)).from_pretrained(place, config=config, dtype=held, attn_implementation=attention)
    except (OSError, ValueError) as error:
        raise ModelError(f"the base model '{base}' cannot be loaded: {str(error).splitlines()[0]}") from error
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    return model


def llama_config(shape: LlamaShape | None, tokenizer: PreTrainedTokenizerBase, attention: str = "sdpa") -> Any:
    """The configuration of a new Llama model."""
    from transformers import LlamaConfig

    assert shape is not None, "a training has a base model or a shape"
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tie_embeddings,
        attn_implementation=attention,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def with_adapters(model: Any, lora: LoraOptions | None) -> Any:
    """The model with adapters in place of all of its weights, if there are to be any."""
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's own lines and bars off the terminal; ours say it all."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
