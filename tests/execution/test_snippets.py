"""Verification code as models write it prints in a sandbox what it prints anywhere.

The expected outputs were written by a fresh interpreter, not by a sandbox: each cell as a program's body, stderr after
stdout, ``[Type: message]`` where an exception ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from genprm.execution import ExecutionResult, Sandbox
from tests.execution.engine import KINDS, open_kind

CORPUS = sorted(Path(__file__).with_name("snippets").glob("*.md"))
CELL = re.compile(r"^```python\n(.*?)^```\n~~~output\n(.*?)^~~~$", re.DOTALL | re.MULTILINE)
NO_NEWLINE = "\n[no newline]\n"


class Snippet(NamedTuple):
    """Cells of one session, each with what it prints."""

    name: str
    cells: list[tuple[str, str]]


def snippets() -> list[Snippet]:
    """All of them, in the order of the files."""
    found = []
    for path in CORPUS:
        for part in re.split(r"^### ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name = part.partition("\n")[0].replace(" ", "-")
            found.append(Snippet(f"{path.stem}-{name}", CELL.findall(part)))
    return found


def shown(result: ExecutionResult) -> str:
    """A result as the corpus writes it."""
    text = result.stdout + (f"[{result.error}]\n" if result.error else "")
    return text if not text or text.endswith("\n") else text + NO_NEWLINE


SNIPPETS = snippets()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=KINDS)
def sandbox(runner: asyncio.Runner, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    sandbox = open_kind(request.param)
    yield sandbox
    runner.run(sandbox.aclose())


async def check(sandbox: Sandbox, snippet: Snippet) -> None:
    async with contextlib.aclosing(sandbox.session()) as session:
        for source, expected in snippet.cells:
            result = await session.run(source, timeout_s=60.0)
            assert shown(result) == expected
            assert result.status == ("error" if result.error else "ok")


def test_the_corpus_is_whole() -> None:
    assert len(SNIPPETS) >= 60
    assert len({snippet.name for snippet in SNIPPETS}) == len(SNIPPETS)
    assert all(snippet.cells for snippet in SNIPPETS)
    text = "".join(path.read_text(encoding="utf-8") for path in CORPUS)
    assert text.count("\n```python\n") == sum(len(snippet.cells) for snippet in SNIPPETS)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
def test_prints_what_it_prints_anywhere(snippet: Snippet, sandbox: Sandbox, runner: asyncio.Runner) -> None:
    runner.run(check(sandbox, snippet))
