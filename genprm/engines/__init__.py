"""Engines: what runs a model. ``open_engine`` picks one by name; ``contract`` is what every one of them passes."""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from genprm import resources
from genprm.engines.base import Completion, Engine, GenerationRequest, Sampling, StopReason, Tokenizer
from genprm.engines.scripted import ScriptedEngine
from genprm.engines.tokenizers import ByteTokenizer, HFTokenizer
from genprm.engines.transformers import TransformersEngine
from genprm.errors import InputError

__all__ = [
    "ByteTokenizer",
    "Completion",
    "Engine",
    "GenerationRequest",
    "HFTokenizer",
    "Sampling",
    "ScriptedEngine",
    "StopReason",
    "Tokenizer",
    "TransformersEngine",
    "engine_of",
    "open_engine",
    "replica_options",
    "resolve_engine",
]


KINDS = ("transformers", "vllm", "openai")

log = logging.getLogger(__name__)


def resolve_engine(kind: str) -> str:
    """The engine that ``kind`` stands for, ``auto`` being vllm where it is installed. ``InputError`` for others."""
    if kind == "auto":
        found = "vllm" if importlib.util.find_spec("vllm") else "transformers"
        log.info("engine: %s%s", found, "" if found == "vllm" else " (vllm is not installed)")
        return found
    if kind in KINDS:
        return kind
    raise InputError(
        f"there is no engine '{kind}'; the engines are auto, {', '.join(KINDS)} (and, in Python, ScriptedEngine)"
    )


def replica_options(engine: object, options: Mapping[str, Any], gpus: int | None) -> dict[str, Any]:
    """The options of an engine in a replica with so many GPUs: vLLM is told to split the model over them."""
    if (gpus or 1) > 1 and isinstance(engine, str) and resolve_engine(engine) == "vllm":
        return {"tensor_parallel": gpus, **options}
    return dict(options)


def engine_of(given: str | Callable[[], Engine] | Engine, model: str, **options: Any) -> Engine:
    """The engine of a choice: a kind (opened for ``model``), a function that opens one, or an open one as it is."""
    if isinstance(given, str):
        return open_engine(given, resources.model(model), **options)
    return given() if callable(given) else given


def open_engine(kind: str, model: str, **options: Any) -> Engine:
    """An engine for ``model`` (a folder or hub name). ``options`` are those of the engine's class."""
    from genprm.engines.openai import OpenAIEngine
    from genprm.engines.vllm import VLLMEngine

    chosen = resolve_engine(kind)
    known = {"transformers": TransformersEngine, "vllm": VLLMEngine, "openai": OpenAIEngine}[chosen]
    if unknown := options.keys() - inspect.signature(known).parameters.keys():
        raise InputError(
            f"the {chosen} engine has no option '{min(unknown)}'; it has "
            f"{', '.join(name for name in inspect.signature(known).parameters if name != 'model')}"
        )
    try:
        engine: Engine = known(model, **options)
    except TypeError as error:
        raise InputError(
            f"the {chosen} engine cannot be opened with the options {dict(options)} ({error}); mend their kinds"
        ) from error
    return engine
