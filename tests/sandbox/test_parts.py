"""The supervisor's parts that can be held alone: what is kept of a flood, what is seen in /proc, what is deleted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm import resources


@pytest.fixture(scope="module")
def supervisor() -> ModuleType:
    """The program, imported; it does nothing until its ``main``."""
    sys.path.insert(0, str(resources.root("sandbox")))
    try:
        import supervisor
    finally:
        sys.path.remove(str(resources.root("sandbox")))
    return supervisor


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=300), max_size=12), st.integers(min_value=1, max_value=60))
def test_output_keeps_head_and_tail_in_bounded_memory(supervisor: ModuleType, chunks: list[bytes], half: int) -> None:
    output = supervisor.Output(2 * half)
    for chunk in chunks:
        output.add(chunk.replace(b".", b"x"))
        assert len(output._head) + len(output._tail) <= 6 * half
    data = b"".join(chunks).replace(b".", b"x")
    text, truncated = output.text()
    assert truncated == (len(data) > 2 * half)
    if not truncated:
        assert text == data.decode("utf-8", "replace")
    else:
        head, missing, tail = text.partition(f"\n... [{len(data) - 2 * half} bytes left out] ...\n")
        assert missing
        assert head == data[:half].decode("utf-8", "replace")
        assert tail == data[-half:].decode("utf-8", "replace")


def test_children_are_found_with_and_without_the_kernels_list(
    supervisor: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = sys.modules["processes"]
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in supervisor.children(os.getpid())
        monkeypatch.setattr(processes, "HAS_CHILDREN_FILES", False)
        assert child.pid in supervisor.tree(os.getpid())
        assert not supervisor.is_dead(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert supervisor.is_dead(child.pid)
    assert supervisor.is_dead(child.pid)
    assert child.pid not in supervisor.children(os.getpid())


def test_deleting_a_folder_opens_what_is_locked_and_follows_no_link(supervisor: ModuleType, tmp_path: Path) -> None:
    root, outside = tmp_path / "scratch", tmp_path / "outside"
    (root / "locked" / "inner").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("stays")
    (root / "link").symlink_to(outside)
    (root / "locked" / "inner").chmod(0)
    (root / "locked").chmod(0)
    supervisor.remove_tree(str(root))
    assert not root.exists()
    assert (outside / "file").exists()


@pytest.mark.parametrize("name", ["supervisor.py", "template.py", "processes.py"])
def test_nothing_inside_the_boundary_imports_genprm(name: str) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(resources.root('sandbox'))!r}); import {name[:-3]}; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert not {"genprm", "numpy", "sympy"} & set(done.stdout.split())
