from __future__ import annotations

import subprocess
import sys
import types

import pytest

import genprm


def test_importing_genprm_loads_no_heavy_library_and_prints_nothing() -> None:
    heavy = ("torch", "transformers", "vllm", "ray", "datasets", "sympy", "math_verify")
    code = f"import sys, genprm, genprm.api, genprm.records; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_exported_members_are_the_public_names() -> None:
    assert genprm.__all__ == sorted(genprm.__all__)
    assert all(hasattr(genprm, name) for name in genprm.__all__)
    public = {
        name
        for name, value in vars(genprm).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name not in ("annotations", "Any")
    }
    assert public - {"TYPE_CHECKING"} <= set(genprm.__all__)
    assert dir(genprm) == genprm.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = genprm.nothing
