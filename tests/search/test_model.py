"""Searches by real models: the shipped policy under the shipped verifier, and a discriminative scorer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from genprm import resources
from genprm.engines import Sampling, TransformersEngine
from genprm.lab.policy import LARGEST
from genprm.lab.world import make_problem
from genprm.rollout import Given, Settings
from genprm.scorers import StepScorer, open_scorer
from genprm.search import Found, Plan, Searcher
from genprm.types import Problem, Solution
from tests.rollout import policies
from tests.scorers import models
from tests.search.worlds import SETTINGS


def world() -> Given:
    """A problem of two steps."""
    made = make_problem(60_002, "test", most_steps=2, largest=LARGEST)
    return Given((Problem(made.id, made.text, str(made.answer)),))


def assert_scored_alike(scorer: StepScorer[Any], given: Given, found: tuple[Found, ...]) -> None:
    """What a search knows of its candidates is what the scorer says of them as a whole."""
    texts = {one.id: one.problem for one in given.problems}
    pairs = [(one, texts[each.id]) for each in found for one in each.candidates if one.path.finished]
    scored = asyncio.run(_score(scorer, [Solution(text, one.path.steps) for one, text in pairs]))
    assert pairs
    for (one, _), whole in zip(pairs, scored, strict=True):
        assert one.rewards == pytest.approx(whole.rewards, abs=1e-3)


async def _score(scorer: StepScorer[Any], solutions: list[Solution]) -> Any:
    return await scorer.score(solutions)


@pytest.fixture(scope="module")
def shipped() -> Any:
    engine = TransformersEngine(resources.model("policy-tiny"), max_batch=16)
    scorer = open_scorer("genprm-tiny", votes=1, sandbox="local", engine="transformers")
    yield engine, scorer
    asyncio.run(_close(engine, scorer))


async def _close(*opened: Any) -> None:
    for one in opened:
        await one.aclose()


def test_the_shipped_models_search_and_a_beam_of_one_is_greedy(shipped: Any, tmp_path: Path) -> None:
    engine, scorer = shipped
    given, found = world(), {}
    plans = {"whole": Plan(n=1), "greedy": Plan("beam", n=1, branch=1), "dvts": Plan("dvts", n=4, branch=2)}
    for name, plan in plans.items():
        searcher = Searcher(
            "policy-tiny", engine=engine, scorer=scorer, plan=plan, settings=Settings(max_tokens=300),
            sampling=Sampling(0.7 if name == "dvts" else 0.0, 1.0, 0),
        )  # fmt: skip
        found[name] = searcher.run(given, tmp_path / name).found
    for whole, greedy in zip(found["whole"], found["greedy"], strict=True):
        assert [one.path.steps for one in whole.candidates] == [one.path.steps for one in greedy.candidates]
        assert whole.scorer_tokens == greedy.scorer_tokens > 0
    assert all(one.taken is not None and one.taken.score is not None for one in found["dvts"])
    assert_scored_alike(scorer, given, found["greedy"])
    identity = (tmp_path / "dvts/config.yaml").read_text()
    assert "genprm-tiny" in identity and "kind: local" in identity
    assert json.loads((tmp_path / "dvts/metrics.json").read_text())["steps_judged"] > 2


def test_a_discriminative_scorer_guides_as_it_scores(tmp_path: Path) -> None:
    folder = models.causal(tmp_path)
    scorer = open_scorer(str(folder), "er-prm")
    given = policies.problems(3)
    for strategy in ("best-of-n", "beam", "resample"):
        plan = Plan(strategy, n=4, branch=2, tries=2)  # type: ignore[arg-type]
        searcher = Searcher("solver", engine=policies.engine, scorer=scorer, plan=plan, settings=SETTINGS)
        found = searcher.run(given, tmp_path / strategy).found
        assert_scored_alike(scorer, given, found)
        assert all(one.scorer_tokens > one.judged > 0 for one in found)
    asyncio.run(_close(scorer))
