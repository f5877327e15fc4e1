"""Rollouts on replicas: the same as without them, and either goes on with the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genprm.errors import InputError
from genprm.rollout import Amounts, Budget, Plan, Roller, Settings, rule_named
from genprm.runs.ray import RayCluster
from tests.rollout import policies
from tests.rollout.test_job import same

ray = pytest.importorskip("ray")
TWO = RayCluster(replicas=2)


def run(out: Path, count: int, **options: Any) -> int:
    plan = Plan(Budget(initial=6, batch=3, most=12, keep=4), Amounts(8, 6, 4), rule_named("hard"))
    roller = Roller("solver", engine=policies.engine, plan=plan, settings=Settings(max_tokens=400), **options)
    return roller.run(policies.problems(count), out).reused


def test_a_run_on_replicas_is_the_run_without_them(cluster: None, tmp_path: Path) -> None:
    run(tmp_path / "alone", 6)
    run(tmp_path / "both", 3)
    assert run(tmp_path / "both", 6, ray=TWO, concurrency=4) > 0
    run(tmp_path / "spread", 6, ray=TWO)
    assert same(tmp_path / "both", tmp_path / "alone") and same(tmp_path / "spread", tmp_path / "alone")
    other = {"completer": "strong", "completer_engine": policies.other_engine}
    run(tmp_path / "two models", 3, **other)
    run(tmp_path / "two models spread", 3, ray=TWO, **other)
    assert same(tmp_path / "two models", tmp_path / "two models spread")


def test_an_open_engine_cannot_be_sent() -> None:
    with pytest.raises(InputError, match="an open engine cannot be sent to replicas; give its kind or a function"):
        Roller("solver", engine=policies.engine(), ray=TWO)
