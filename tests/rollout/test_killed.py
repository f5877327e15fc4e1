"""kill -9 at any moment loses at most what was in flight: the same call again ends in the same files."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from genprm.rollout import Amounts, Budget, Plan, Roller, Settings
from tests.rollout import policies
from tests.rollout.test_job import same
from tests.verify.test_killed import in_a_child, watch

PLAN = Plan(Budget(initial=4, batch=2, most=6, keep=2), Amounts(4, 3, 2))


def work(out: Path, count: int) -> None:
    roller = Roller("solver", engine=policies.engine, plan=PLAN, settings=Settings(max_tokens=400), concurrency=5)
    roller.run(policies.problems(count), out)


def killed_at(moment: int, out: Path, count: int) -> bool:
    """Run until the ``moment``-th write or rename, then die. Whether it came to that."""

    def job() -> None:
        left = moment

        def tick() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        watch(tick)
        work(out, count)

    return os.WIFSIGNALED(os.waitpid(in_a_child(job), 0)[1])


def check(folder: Path, moments: list[int], count: int) -> int:
    """Kill at these moments, each time in a fresh directory; at how many it came to that."""
    work(folder / "calm", count)
    killed = 0
    for moment in moments:
        out = folder / str(moment)
        killed += killed_at(moment, out, count)
        work(out, count)
        assert same(out, folder / "calm"), moment
        for name in ("samples.jsonl", "rollouts.jsonl"):
            lines = (out / name).read_bytes().splitlines()
            assert len(lines) == len(set(lines))
    return killed


def test_killed_at_twenty_random_writes_of_a_run(tmp_path: Path) -> None:
    moments = random.Random(0).sample(range(1, 80), 20)
    assert check(tmp_path, moments, 3) == 20


@pytest.mark.slow
def test_killed_at_every_write_of_a_run(tmp_path: Path) -> None:
    assert check(tmp_path, list(range(1, 160)), 5) > 100


@pytest.mark.slow
def test_killed_at_random_moments_of_one_run(tmp_path: Path) -> None:
    """Also kills the runs that repair: all on one directory."""
    work(tmp_path / "calm", 60)
    dice = random.Random(0)
    for _ in range(30):
        pid = in_a_child(lambda: work(tmp_path / "run", 60))
        time.sleep(dice.uniform(0.0, 0.4))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    work(tmp_path / "run", 60)
    assert same(tmp_path / "run", tmp_path / "calm")
