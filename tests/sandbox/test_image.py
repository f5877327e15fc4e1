"""What images hold and what they are called; the engine runs them in ``test_users.py``."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from genprm import resources
from genprm.execution import hostimage, image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tarfile.TarInfo]:
    path = tmp_path_factory.mktemp("image") / "image.tar"
    with path.open("wb") as file:
        hostimage.write_tar(file)
    with tarfile.open(path) as tar:
        found = {member.name: member for member in tar.getmembers()}
    path.unlink()
    return found


def test_an_image_from_the_host_lifts_nobody_and_lets_nobody_write(members: dict[str, tarfile.TarInfo]) -> None:
    files = [member for member in members.values() if not member.issym()]
    assert all(member.isreg() or member.isdir() for member in files)
    assert not [member.name for member in files if member.mode & 0o6022 or member.uid or member.gid]


def test_an_image_from_the_host_keeps_the_supervisor_from_code(members: dict[str, tarfile.TarInfo]) -> None:
    sandbox = {name: member for name, member in members.items() if name.startswith("opt/genprm/sandbox")}
    assert {Path(name).name for name in sandbox} == {"sandbox", *hostimage.INSIDE}
    assert all(not member.mode & 0o077 for member in sandbox.values())


def test_an_image_from_the_host_holds_what_code_imports_and_no_way_to_get_more(
    members: dict[str, tarfile.TarInfo],
) -> None:
    packages = {found[1] for name in members if (found := re.search(r"site-packages/([^/]+)$", name))}
    assert {"numpy", "sympy", "mpmath"} <= packages <= {"numpy", "numpy.libs", "sympy", "mpmath"}
    assert not [name for name in members if re.search(r"/(pip|ensurepip|genprm/[a-z_]+\.py|tests?)(/|$)", name)]
    modules = {name for name in members if name.endswith("/sympy/solvers/solvers.py")}
    compiled = {name for name in members if re.search(r"/sympy/solvers/__pycache__/solvers\.cpython-\d+\.pyc$", name)}
    assert len(modules) == len(compiled) == 1  # the root is read-only: what is not compiled now never will be


@pytest.mark.parametrize("changed", [*hostimage.INSIDE, "Dockerfile", "requirements.txt"])
def test_an_image_is_named_after_what_went_into_it(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = image.names()
    shutil.copytree(resources.root("sandbox"), tmp_path / "sandbox")
    monkeypatch.setattr(resources, "root", lambda kind: tmp_path / kind)
    assert image.names() == before
    with (tmp_path / "sandbox" / changed).open("a") as file:
        file.write("\n# changed")
    after = image.names()
    assert after["registry"] != before["registry"]
    assert (after["host"] != before["host"]) == (changed in hostimage.INSIDE)


def test_both_images_start_the_same_program_with_the_versions_that_are_tested() -> None:
    dockerfile = resources.path("sandbox", "Dockerfile").read_text()
    assert f"ENTRYPOINT {image.ENTRYPOINT}\n" in dockerfile
    assert f"ENV {image.ENVIRONMENT}\n" in dockerfile
    pins = re.findall(r"^(\w+)==(\S+)$", resources.path("sandbox", "requirements.txt").read_text(), re.MULTILINE)
    tested = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert {name for name, _ in pins} == set(hostimage.PACKAGES)
    assert [(name, version) for name, version in pins if tested.get(name, version) != version] == []


def test_the_list_of_system_calls_names_what_is_allowed_and_nothing_that_reaches_out() -> None:
    profile = json.loads(image.seccomp())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    refused = re.findall(r"\w+", """
        ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd io_uring_setup io_uring_enter io_uring_register bpf
        perf_event_open keyctl add_key request_key userfaultfd unshare setns mount umount2 pivot_root chroot move_mount
        fsopen open_tree open_by_handle_at personality init_module finit_module kexec_load memfd_create shmget msgget
        semget mq_open clone3 socketcall ipc modify_ldt reboot swapon settimeofday quotactl acct syslog
    """)  # fmt: skip
    assert not allowed & set(refused)
    narrowed: dict[str, list[tuple[int, int, str]]] = {}
    for rule in (rule for rule in profile["syscalls"] if rule.get("args")):
        (one,) = rule["args"]
        narrowed.setdefault(rule["names"][0], []).append((one["value"], one.get("valueTwo", 0), one["op"]))
    assert narrowed["socket"] == [(1, 0, "SCMP_CMP_EQ")]  # AF_UNIX
    # No namespace, no CLONE_PARENT, and no signal at the end but SIGCHLD (17).
    assert narrowed["clone"] == [(0x7E0280FF, end, "SCMP_CMP_MASKED_EQ") for end in (17, 0)]
    assert {mask for mask, _, _ in narrowed["fcntl"]} == {0xFFFFFFFF}
    assert not {8, 10, 15, 1024, 1026} & {command for _, command, _ in narrowed["fcntl"]}  # F_SETSIG and its like
