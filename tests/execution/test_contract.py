"""Every check of the sandbox contract, on the local sandbox: one sandbox for all, so that each must leave it whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from genprm.execution import LocalSandbox, Sandbox
from genprm.execution.contract import CHECKS, Check


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def sandbox(runner: asyncio.Runner) -> Iterator[Sandbox]:
    sandbox = LocalSandbox(memory_mb=512)
    yield sandbox
    runner.run(sandbox.aclose())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_local(check: Check, sandbox: Sandbox, runner: asyncio.Runner) -> None:
    runner.run(check(sandbox))
