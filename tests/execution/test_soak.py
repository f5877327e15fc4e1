"""Sandboxes in long use: the soak benchmark, which fails if anything is lost, wrong, left over or growing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.execution.engine import need_image


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "docker"])
def test_ten_thousand_executions_wear_nothing_out(kind: str, tmp_path: Path) -> None:
    if kind == "docker":
        need_image()
    command = [sys.executable, "tests/benchmarks/sandbox_soak.py", kind, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
