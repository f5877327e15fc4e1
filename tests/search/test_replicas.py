"""Search on replicas is search without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from genprm.errors import InputError
from genprm.runs.ray import RayCluster
from genprm.search import Plan, Searcher
from tests.rollout import policies
from tests.search.test_job import run, same
from tests.search.worlds import Checker

ray = pytest.importorskip("ray")
TWO = RayCluster(replicas=2)


def test_a_run_on_replicas_is_the_run_without_them(cluster: None, tmp_path: Path) -> None:
    for plan in (Plan("dvts", n=4, branch=2), Plan("weighted", n=4, budget=200)):
        alone, spread = (tmp_path / f"{plan.strategy} {name}" for name in ("alone", "spread"))
        run(alone, 6, plan=plan)
        run(spread, 2, plan=plan)
        assert run(spread, 6, plan=plan, ray=TWO, concurrency=2).reused == 2
        assert same(alone, spread)


def test_what_is_open_cannot_be_sent() -> None:
    for options in ({"engine": policies.engine()}, {"engine": policies.engine, "scorer": Checker()}):
        with pytest.raises(InputError, match=r"an open (engine|scorer) cannot be sent to replicas; give its name"):
            Searcher("solver", ray=TWO, **options)  # type: ignore[arg-type]
