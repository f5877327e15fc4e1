"""kill -9 at any moment loses at most the votes in flight: the same command again ends in the same files."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genprm.engines import ScriptedEngine
from genprm.rationale.settings import Settings
from genprm.records import Loaded
from genprm.records.lines import read_lines
from genprm.runs.configuration import Configuration
from genprm.types import Solution
from genprm.verify import Judge, verify_to_dir
from tests.verify.test_job import noisy

Tick = Callable[[], None]


def work(out: Path, count: int) -> None:
    """Verify ``count`` solutions with two votes each."""
    solutions = tuple(Solution(f"Problem {n}", (f"{n} + 1 = {n + 1}",), id=f"s{n}") for n in range(count))
    judge = Judge(ScriptedEngine(noisy), None, Settings(mode="analyze"), concurrency=3)
    configuration = Configuration("verify", {"model": "scripted"}, {"votes": 2}, "in.jsonl")
    asyncio.run(verify_to_dir(Loaded(solutions, source="in.jsonl"), out, judge, configuration, votes=2))


class Watched:
    """A file whose writes come in two parts, with a tick before, between and after them."""

    def __init__(self, file: Any, tick: Tick) -> None:
        self._file, self._tick = file, tick

    def write(self, data: bytes) -> int:
        self._tick()
        if len(data) > 1:
            data = data[: len(data) // 2]
        written = int(self._file.write(data))
        self._tick()
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def watch(tick: Tick) -> None:
    """Have everything that the run writes tick: appended lines in parts, replaced files before and after each move."""
    plain_open, plain_write, plain_replace = Path.open, Path.write_text, Path.replace

    def watched_open(path: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
        file = plain_open(path, mode, *args, **more)
        return Watched(file, tick) if mode == "ab" else file

    def write(path: Path, text: str, **more: Any) -> int:
        tick()
        plain_write(path, text[: len(text) // 2], **more)
        tick()
        return plain_write(path, text, **more)

    def replace(path: Path, target: Path) -> Path:
        tick()
        moved = plain_replace(path, target)
        tick()
        return moved

    Path.open, Path.write_text, Path.replace = watched_open, write, replace  # type: ignore[method-assign,assignment]


def in_a_child(job: Callable[[], None]) -> int:
    """Start a copy of this process that does the job; its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            job()
        finally:
            os._exit(0)
    return pid


def killed_at(moment: int, out: Path, count: int) -> bool:
    """Run until the ``moment``-th tick, then die. Whether it came to that."""

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


def lines(out: Path) -> Counter[str]:
    return Counter((out / "votes.jsonl").read_text(encoding="utf-8").splitlines())


def assert_same(out: Path, calm: Path) -> None:
    assert max(lines(out).values()) == 1
    assert lines(out) == lines(calm)
    assert (out / "items.jsonl").read_bytes() == (calm / "items.jsonl").read_bytes()
    assert list(read_lines(out / "solutions.jsonl")) == list(read_lines(calm / "solutions.jsonl"))


def check_every_moment(folder: Path, count: int) -> int:
    """Kill at each tick in turn, each time in a fresh directory; how many there were."""
    work(folder / "calm", count)
    moment = 1
    while killed_at(moment, folder / str(moment), count):
        work(folder / str(moment), count)
        assert_same(folder / str(moment), folder / "calm")
        moment += 1
    return moment - 1


def test_killed_at_every_write_and_rename_of_a_small_run(tmp_path: Path) -> None:
    assert check_every_moment(tmp_path, 3) > 30


@pytest.mark.slow
def test_killed_at_every_write_and_rename_of_twenty_solutions(tmp_path: Path) -> None:
    assert check_every_moment(tmp_path, 20) > 100


@pytest.mark.slow
def test_killed_at_fifty_random_moments_of_one_run(tmp_path: Path) -> None:
    """Also kills the runs that repair: all on one directory, until one comes to its end."""
    work(tmp_path / "calm", 200)
    rng = random.Random(0)
    for _ in range(50):
        pid = in_a_child(lambda: work(tmp_path / "run", 200))
        time.sleep(rng.uniform(0.0, 0.4))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    work(tmp_path / "run", 200)
    assert_same(tmp_path / "run", tmp_path / "calm")
