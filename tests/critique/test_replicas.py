"""Critique on replicas is critique without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from genprm.critique import Plan, critique
from genprm.runs.ray import RayCluster
from tests.critique import sums

ray = pytest.importorskip("ray")
TWO = RayCluster(replicas=2)


def test_a_run_on_replicas_is_the_run_without_them(cluster: None, tmp_path: Path) -> None:
    plan = Plan(rounds=2, refinements=2)
    for name, spread in (("alone", None), ("spread", TWO)):
        critique(sums.given(6), tmp_path / name, sums.verifier(ray=spread), sums.policy(), plan, ray=spread)
    for name in ("items.jsonl", "refined.jsonl", "metrics.json", "verified-1/items.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "spread" / name).read_bytes()
