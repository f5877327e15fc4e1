"""Every check of the sandbox contract, on every sandbox: one sandbox for all, so that each must leave it whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from genprm.execution import DockerSandbox, LocalSandbox, Sandbox
from genprm.execution.contract import CHECKS, Check
from tests.execution.engine import need_image


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["local", "docker"])
def sandbox(runner: asyncio.Runner, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    # One container: checks that look for the processes of other sessions must land beside them.
    sandbox = (
        LocalSandbox(memory_mb=512, bubblewrap=False)
        if request.param == "local"
        else DockerSandbox(need_image(), memory_mb=512, containers=1)
    )
    yield sandbox
    runner.run(sandbox.aclose())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Check, sandbox: Sandbox, runner: asyncio.Runner) -> None:
    runner.run(check(sandbox))
