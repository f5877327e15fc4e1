"""Every check of the sandbox contract, on every sandbox: one sandbox for all, so that each must leave it whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from genprm.execution import Sandbox
from genprm.execution.contract import CHECKS, Check
from tests.execution.engine import KINDS, open_kind


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=KINDS)
def sandbox(runner: asyncio.Runner, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    sandbox = open_kind(request.param)
    yield sandbox
    runner.run(sandbox.aclose())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Check, sandbox: Sandbox, runner: asyncio.Runner) -> None:
    runner.run(check(sandbox))
