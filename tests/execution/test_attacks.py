"""Every attack on every sandbox of this machine. What a sandbox does not claim is never started, and listed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from genprm.execution.attacks import ATTACKS, Attack
from genprm.execution.attacks.arena import Arena
from genprm.execution.attacks.output import STRUCTURE
from genprm.execution.bubblewrap import CLAIMS as BUBBLEWRAP
from genprm.execution.claims import BOUNDED
from genprm.rationale.splice import neutralise
from tests.conftest import REPOSITORY
from tests.execution.engine import KINDS, open_kind

MEMORY_MB = 256
"""Of a session: what an attack can take before it is stopped."""


@contextlib.asynccontextmanager
async def arena_of(kind: str) -> AsyncIterator[Arena]:
    async with contextlib.aclosing(open_kind(kind, MEMORY_MB)) as sandbox, Arena(sandbox) as arena:
        yield arena


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=KINDS)
def arena(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Arena]:
    opened = arena_of(request.param)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
            patch.setenv(name, "a-secret")
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.key)
def test_survives(attack: Attack, arena: Arena, runner: asyncio.Runner) -> None:
    outcome = runner.run(arena.run(attack))
    if outcome.verdict == "not claimed":
        pytest.skip(f"not claimed: {', '.join(outcome.reasons)}")
    assert outcome.verdict == "survived", "; ".join(outcome.reasons)


def test_the_list_is_complete() -> None:
    wanted = {"T": 9, "M": 5, "P": 7, "O": 10, "R": 6, "F": 5, "N": 3, "V": 5}
    found = {attack.id for attack in ATTACKS}
    assert {f"{family}{number}" for family, last in wanted.items() for number in range(1, last + 1)} <= found
    assert len({attack.key for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize(("name", "held"), [("alone", BOUNDED), ("in bubblewrap", BOUNDED | BUBBLEWRAP)])
def test_the_readme_lists_what_is_not_attacked(name: str, held: frozenset[str]) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    listed = readme.partition(f"<summary>Not attacked: local, {name}</summary>")[2].partition("</details>")[0]
    assert listed.replace(",", " ").split() == [attack.key for attack in ATTACKS if not attack.needs <= held]


def test_the_format_of_rationales_cannot_be_printed() -> None:
    """What attack O9 prints comes out of the sandbox as it is; the splice takes its teeth."""
    tamed = neutralise(STRUCTURE, {"<|im_end|>", "<|im_start|>"})
    for piece in ("```", "<output>", "</output>", "</verify>", "</analyze>", "\\boxed{", "<|im_end|>", "<|im_start|>"):
        assert piece in STRUCTURE
        assert piece not in tamed
