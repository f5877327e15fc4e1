"""What a run ran on: ``environment.json``. Versions are read from installed metadata; nothing is imported for it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

PACKAGES = (
    "genprm",
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "ray",
    "trl",
    "datasets",
    "math-verify",
    "sympy",
    "numpy",
)


def environment(**more: Any) -> Mapping[str, Any]:
    """Python, platform, cores and package versions; ``more`` adds what only the caller knows (model, image digest)."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        **more,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
