"""Engines: what runs a model. ``open_engine`` picks one by name; ``contract`` is what every one of them passes."""

from __future__ import annotations

from typing import Any

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
    "open_engine",
]


def resolve_engine(kind: str) -> str:
    """The engine that ``kind`` stands for (``auto`` is the transformers engine); ``InputError`` for an unknown one."""
    if kind in ("auto", "transformers"):
        return "transformers"
    raise InputError(
        f"there is no engine '{kind}'; the engines are auto and transformers (and, in Python, ScriptedEngine)"
    )


def open_engine(kind: str, model: str, **options: Any) -> Engine:
    """An engine for ``model`` (a folder or hub name). ``options`` are those of the engine's class."""
    resolve_engine(kind)
    return TransformersEngine(model, **options)
