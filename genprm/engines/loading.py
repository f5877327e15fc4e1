"""Loads a Hugging Face model folder or hub name, with errors that say what is wrong with it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genprm.errors import MissingDependency, ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Loaded = TypeVar("Loaded")

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SAMPLE = 1 << 20


def require_libraries() -> None:
    """Raise ``MissingDependency`` unless torch and transformers can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency("torch", "train") from error
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingDependency("transformers", "train") from error


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder or hub name."""
    require_libraries()
    from transformers import AutoTokenizer

    check_folder(model, weights=False)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(_explain(model, "tokenizer", error)) from error
    return tokenizer


def load_model(model: str, *, dtype: torch.dtype, device: torch.device, attention: str) -> PreTrainedModel:
    """The causal language model of a folder or hub name, ready for inference."""
    require_libraries()
    from transformers import AutoModelForCausalLM

    loaded = load_weights(model, lambda: AutoModelForCausalLM.from_pretrained(model, dtype=dtype))
    try:
        loaded.set_attn_implementation(attention)
    except ValueError as error:
        raise ModelError(
            f"{type(loaded).__name__} of '{model}' cannot use another attention function, which the transformers "
            "engine needs; use another engine for it"
        ) from error
    network: PreTrainedModel = loaded.to(device).eval()
    return network


def load_weights(model: str, load: Callable[[], Loaded]) -> Loaded:
    """What ``load`` makes of a model folder or hub name; ``ModelError`` where it cannot."""
    from safetensors import SafetensorError

    check_folder(model, weights=True)
    try:
        with _without_progress_bars():
            return load()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(_explain(model, "model", error)) from error


def resolve_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"'{device}' is no device; use auto, cpu or cuda") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("device cuda was asked for but torch finds no CUDA GPU; use device auto or cpu")
    return resolved


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """``auto`` is float32 on the CPU and bfloat16 on a GPU."""
    import torch

    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if dtype not in names:
        raise ModelError(f"dtype must be one of auto, {', '.join(names)}, not '{dtype}'")
    return names[dtype]


def eos_ids(model: str, tokenizer: PreTrainedTokenizerBase, config: Any) -> frozenset[int]:
    """Every token that one of the model's three places calls an end of sequence."""
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(model)
    except OSError:  # a model without that file
        generation = None
    ids: set[int] = set()
    for owner in (generation, config, tokenizer):
        value = getattr(owner, "eos_token_id", None)
        if value is not None:
            ids.update(value if isinstance(value, list | tuple) else [value])
    return frozenset(ids)


def revision(model: str, config: Any) -> str:
    """What names the weights: the hub commit, or a digest of a local folder.

    The digest covers every file's name and size, small files whole and of large ones the first and last mebibyte:
    enough to tell two trainings apart without reading a large model twice.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None) or "unknown")
    digest = hashlib.sha256()
    files = [path for pattern in ("*.json", "*.jinja", *_WEIGHTS) for path in folder.glob(pattern) if path.is_file()]
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(_SAMPLE))
            if size > _SAMPLE:
                stream.seek(max(_SAMPLE, size - _SAMPLE))
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading is quick and the caller's terminal is the caller's; downloads keep their own bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_folder(model: str, *, weights: bool) -> None:
    """Say plainly what a local folder lacks; a hub name passes."""
    try:
        _require_files(model, weights)
    except (OSError, RuntimeError) as error:  # a name that the system refuses, a closed folder, no such home
        reason = getattr(error, "strerror", None) or error
        raise ModelError(
            f"the model folder '{model}' cannot be read ({reason}); give an existing folder or a hub name (owner/name)"
        ) from error


def _require_files(model: str, weights: bool) -> None:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if folder.exists():
            raise ModelError(f"the model '{model}' is a file; give the folder that holds config.json and the weights")
        if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
            raise ModelError(
                f"the model folder '{model}' does not exist; give an existing folder or a hub name (owner/name)"
            )
        return
    if not (folder / "config.json").is_file():
        raise ModelError(f"the model folder '{model}' has no config.json; give the folder of a Hugging Face model")
    if weights and not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        raise ModelError(
            f"the model folder '{model}' has no weights (model.safetensors); "
            "download them into it or train the model first"
        )


def _explain(model: str, part: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    reason = reason[:200] + "..." if len(reason) > 200 else reason
    if Path(model).expanduser().is_dir():
        return f"the {part} in folder '{model}' cannot be loaded: {reason}"
    return (
        f"'{model}' is no local folder and its {part} cannot be had from the Hugging Face hub "
        f"(check the name and the network, or download it and give the folder): {reason}"
    )
