"""Votes on replicas: the same as without them, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from genprm import Solution
from genprm.engines import ScriptedEngine
from genprm.errors import InputError
from genprm.execution import LocalSandbox
from genprm.runs.ray import RayCluster
from genprm.verify.metrics import Progress
from tests.conftest import REPOSITORY
from tests.verify.replicas import SOLUTIONS, open_engine, verifier

ray = pytest.importorskip("ray")
TWO = RayCluster(replicas=2)


def lines(out: Path) -> Counter[str]:
    return Counter((out / "votes.jsonl").read_text(encoding="utf-8").splitlines())


def marked(mark: str) -> list[str]:
    """Processes that have the mark in their environment, as every descendant of a marked one has."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100])
    return found


def test_a_run_on_replicas_is_the_run_without_them_and_either_goes_on_with_the_other(
    cluster: None, tmp_path: Path
) -> None:
    with verifier() as alone:
        alone.verify_to_dir(SOLUTIONS, tmp_path / "alone")
    with verifier(TWO, votes=3) as spread:
        spread.verify_to_dir(SOLUTIONS, tmp_path / "both")
    with verifier() as alone:
        assert alone.verify_to_dir(SOLUTIONS, tmp_path / "both").reused == 60
    with verifier(TWO) as spread:
        spread.verify_to_dir(SOLUTIONS, tmp_path / "spread")
        assert spread.verify(SOLUTIONS[3]).rewards == alone.verify(SOLUTIONS[3]).rewards
    for out in (tmp_path / "both", tmp_path / "spread"):
        assert lines(out) == lines(tmp_path / "alone")
        assert (out / "items.jsonl").read_bytes() == (tmp_path / "alone/items.jsonl").read_bytes()


def test_replicas_killed_again_and_again_leave_the_run_of_a_calm_one(cluster: None, tmp_path: Path) -> None:
    with verifier(votes=24) as alone:
        alone.verify_to_dir(SOLUTIONS, tmp_path / "calm")
    killed = []

    def kill(progress: Progress) -> None:
        if progress.done % 80 == 40 and (found := actors()):
            os.kill(found[len(killed) % len(found)], signal.SIGKILL)
            killed.append(progress.done)

    with verifier(TWO, votes=24) as spread:
        spread.verify_to_dir(SOLUTIONS, tmp_path / "killed", on_progress=kill)
    assert len(killed) >= 3
    assert lines(tmp_path / "killed") == lines(tmp_path / "calm")
    assert (tmp_path / "killed/items.jsonl").read_bytes() == (tmp_path / "calm/items.jsonl").read_bytes()


def actors() -> list[int]:
    """Processes of the actors of this cluster, and not of one that another test has."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::_Actor") and descends(int(folder.name)):
                found.append(int(folder.name))
    return found


def descends(pid: int) -> bool:
    while pid > 1 and pid != os.getpid():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == os.getpid()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_nothing_is_left_when_the_driver_ends(sent: signal.Signals, tmp_path: Path) -> None:
    mark = f"GENPRM_TEST_MARK={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-m", "tests.verify.replicas", str(tmp_path / "run")]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, name: value}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as driver:  # fmt: skip
        try:
            assert driver.stdout is not None
            for _ in range(10):
                assert driver.stdout.readline() == b"vote\n"
            assert any("ray::_Actor" in command for command in marked(mark))
            driver.send_signal(sent)
            driver.wait(timeout=60)
        finally:
            driver.kill()
    deadline = time.monotonic() + 120  # Ray's own agents look for their cluster now and then
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left


def test_what_is_open_here_cannot_be_sent() -> None:
    with pytest.raises(InputError, match="an open engine cannot be sent to replicas; give its kind or a function"):
        verifier(TWO, engine=ScriptedEngine([]))
    with pytest.raises(InputError, match="an open sandbox cannot be sent"):
        verifier(TWO, sandbox=LocalSandbox())


def test_code_runs_in_the_sandbox_of_the_replica(cluster: None) -> None:
    solution = Solution("p", ("1 + 1 = 2", "1 + 1 = 3"), id="x")
    with verifier(TWO, mode="code-only", sandbox="local", engine=open_engine, votes=2) as spread:
        result = spread.verify(solution)
    assert [vote.steps[1].code[0].output for vote in result.votes] == ["False\n"] * 2
