"""Every scorer keeps the scorer contract, and reads published checkpoints as they were published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genprm.scorers import contract, open_scorer
from genprm.scorers.discriminative import OutcomeScorer
from genprm.scorers.generative import GenerativeScorer
from genprm.types import Solution
from tests.scorers import models
from tests.verify.scripts import SUMS, model

SOLUTIONS = (
    Solution("Tom has 12 apples and buys 5 more.", ("He has 12 + 5 = 17 apples.", "So x = 17."), id="a"),
    Solution("The price is 3 dollars.", ("4 * 3 = 12.", "x = 12", "It prints 13.", "Yes.", "No."), id="b"),
    Solution("Let's verify.", ("The price is 3 dollars, so 2 cost 6 dollars.",), id="c"),
    Solution("Tom has 12 apples and buys 5 more.", ("He has 12 + 5 = 18 apples.",) * 7, id="d"),
)
FILLER = "1 2 3 4 5 6 7 8 9 " * 30
Reference = Callable[[Path, Solution], Sequence[float]]
READ: dict[str, tuple[Callable[[Path], Path], Reference]] = {
    "math-shepherd": (models.causal, partial(models.tagged, separator="\n")),
    "er-prm": (models.causal, partial(models.tagged, separator="")),
    "rlhflow": (models.causal, models.turns),
    "qwen-prm": (models.head, models.headed),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Callable[[Path], Path], Path]:
    return {make: make(tmp_path_factory.mktemp(make.__name__)) for make in (models.causal, models.head)}


def checkpoint(name: str, folders: dict[Any, Path]) -> contract.Subject:
    make, reference = READ[name]
    folder = folders[make]
    return contract.Subject(
        lambda: open_scorer(str(folder), name, batch_tokens=600), SOLUTIONS, FILLER, partial(reference, folder)
    )


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", list(READ))
def test_published_checkpoints(name: str, check: contract.Check, folders: dict[Any, Path]) -> None:
    asyncio.run(check(checkpoint(name, folders)))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_outcome_scorer(check: contract.Check, folders: dict[Any, Path]) -> None:
    """The reward of a step is what the solution would be worth if it ended there: one pass for each prefix."""
    folder = folders[models.causal]

    def reference(solution: Solution) -> list[float]:
        ends = range(1, len(solution.steps) + 1)
        prefixes = (Solution(solution.problem, solution.steps[:end]) for end in ends)
        return [models.tagged(folder, prefix, "\n")[-1] for prefix in prefixes]

    subject = contract.Subject(lambda: OutcomeScorer(str(folder)), SOLUTIONS, FILLER, reference)
    asyncio.run(check(subject))


def generative() -> contract.Subject:
    def opened() -> GenerativeScorer:
        return GenerativeScorer("scripted", votes=2, engine=model(context_length=12000), sandbox="local")

    more = Solution("What is 4 + 4?", ("4 + 4 = 8",), id="more")
    return contract.Subject(opened, (SUMS, more), "1 + 1 = 2 " * 1190)


@pytest.mark.parametrize("check", contract.checks_for(generative()), ids=lambda check: check.__name__)
def test_generative_scorer(check: contract.Check) -> None:
    asyncio.run(check(generative()))
