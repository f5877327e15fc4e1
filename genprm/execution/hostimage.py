"""The container's file system, assembled out of the machine we run on: for machines that can pull no image.

    with tempfile.TemporaryFile() as file:
        write_tar(file)                       # what ``docker import`` takes

It holds the running interpreter with its standard library, numpy, sympy and mpmath as installed here, the shared
libraries that these name, a shell with a few programs, and the supervisor; no package manager, no setuid program, no
file of the user. Bytecode is in it, because the root of a container is read-only. Linux with glibc only.
"""

from __future__ import annotations

import importlib.util
import io
import os
import py_compile
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from genprm import resources
from genprm.errors import SandboxUnavailable

HOME = PurePosixPath("/opt/genprm")
"""Our folder in every image, however it was built: ``bin/python`` runs with the packages, ``sandbox/`` is ours."""
PREFIX = PurePosixPath("/usr/local")
PACKAGES = ("mpmath", "numpy", "sympy")
PROGRAMS = ("sh", "cat", "echo", "head", "ls", "sleep", "true", "yes")
"""What code that looks beyond Python expects to find on any Linux."""
INSIDE = tuple(name for name in resources.names("sandbox") if name.endswith(".py"))

NOT_FOR_CODE = {
    "__pycache__", "benchmarks", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tests", "tkinter", "turtledemo",
}  # fmt: skip
"""Folders of the standard library and of packages that checking code has no use for."""
NOT_FOR_CODE_FILES = ("_test", "_tkinter", "xxlimited")
USELESS_SUFFIXES = {".a", ".c", ".h", ".hpp", ".pxd", ".pyi", ".pyx"}


def write_tar(file: IO[bytes]) -> None:
    """Write the file system as a tar. Raises ``SandboxUnavailable`` where this machine cannot give one."""
    if sys.platform != "linux":
        raise SandboxUnavailable(f"an image from the host needs a Linux host, this is {sys.platform}")
    with tarfile.open(fileobj=file, mode="w") as tar:
        _Assembly(tar).fill()


class _Assembly:
    """One tar being written; a path that is there already is not written again."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._there: set[PurePosixPath] = {PurePosixPath("/")}
        self._binaries: list[Path] = []

    def fill(self) -> None:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        library = f"{sys.platlibdir}/{name}"
        interpreter = Path(sys.executable).resolve()
        self.file(PREFIX / "bin" / name, interpreter, 0o755)
        for short in ("python", "python3"):
            self.link(PREFIX / "bin" / short, name)
        self.tree(PREFIX / library, Path(os.__file__).parent)
        # A virtual environment finds its packages the same way on every distribution, also where site.py is patched.
        self.text(HOME / "pyvenv.cfg", f"home = {PREFIX}/bin\ninclude-system-site-packages = false\n")
        self.link(HOME / "bin" / "python", f"{PREFIX}/bin/{name}")
        for package in PACKAGES:
            for folder in _folders(package):
                self.tree(HOME / "lib" / name / "site-packages" / folder.name, folder)
        for inside in INSIDE:
            self.text(HOME / "sandbox" / inside, resources.path("sandbox", inside).read_text(), 0o600)
        for program in PROGRAMS:
            if found := shutil.which(program):
                self.file(PurePosixPath("/bin") / program, Path(found).resolve(), 0o755)
        self.shared_libraries()
        self.text(PurePosixPath("/etc/passwd"), "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        self.text(PurePosixPath("/etc/group"), "root:x:0:\nnogroup:x:65534:\n")
        for empty in ("dev", "proc", "sys", "tmp"):
            self.folder(PurePosixPath("/") / empty)

    def shared_libraries(self) -> None:
        """Put what ``ldd`` names where the loader looks by itself: beside libc, wherever it lay on the host."""
        found = dict(_linked(self._binaries))
        beside = PurePosixPath(found.get("libc.so.6", "/lib/libc.so.6")).parent
        for name, path in found.items():
            is_loader = name.startswith("/")
            self.file(PurePosixPath(name) if is_loader else beside / name, Path(path).resolve(), 0o755)

    # entries

    def folder(self, path: PurePosixPath) -> None:
        if path in self._there:
            return
        self.folder(path.parent)
        self._there.add(path)
        entry = tarfile.TarInfo(str(path)[1:])
        entry.type, entry.mode = tarfile.DIRTYPE, 0o700 if path == HOME / "sandbox" else 0o755
        self._tar.addfile(entry)

    def bytes(self, path: PurePosixPath, content: bytes, mode: int = 0o644, changed: int = 0) -> None:
        if path in self._there:
            return
        self.folder(path.parent)
        self._there.add(path)
        entry = tarfile.TarInfo(str(path)[1:])
        entry.size, entry.mode, entry.mtime = len(content), mode, changed
        self._tar.addfile(entry, io.BytesIO(content))

    def text(self, path: PurePosixPath, content: str, mode: int = 0o644) -> None:
        self.bytes(path, content.encode(), mode)

    def link(self, path: PurePosixPath, target: str) -> None:
        self.folder(path.parent)
        self._there.add(path)
        entry = tarfile.TarInfo(str(path)[1:])
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def file(self, path: PurePosixPath, source: Path, mode: int = 0o644) -> None:
        """A file of the host, with its bytecode if it is a module."""
        self.bytes(path, source.read_bytes(), mode, int(source.stat().st_mtime))
        if mode == 0o755 or ".so" in source.suffixes:
            self._binaries.append(source)
        if source.suffix == ".py" and (code := _bytecode(source)):
            cached = importlib.util.cache_from_source(str(path))
            self.bytes(PurePosixPath(cached), code)

    def tree(self, path: PurePosixPath, source: Path) -> None:
        for folder, names, files in os.walk(source):
            names[:] = sorted(name for name in names if name not in NOT_FOR_CODE and not name.startswith("config-"))
            for name in sorted(files):
                file = Path(folder, name)
                useless = file.suffix in USELESS_SUFFIXES or name.startswith(NOT_FOR_CODE_FILES)
                if not useless and file.is_file():
                    self.file(path / file.relative_to(source), file)


def _folders(package: str) -> Iterator[Path]:
    """The folder of an installed package, and the one with the shared libraries of its wheel."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SandboxUnavailable(f"{package} is not installed here, so no image can be made of it")
    folder = Path(next(iter(spec.submodule_search_locations)))
    yield folder
    if (libraries := folder.with_name(f"{package}.libs")).is_dir():
        yield libraries


def _bytecode(source: Path) -> bytes | None:
    """The module compiled: what the host has cached if that is current, so that a build takes seconds."""
    status = source.stat()
    header = importlib.util.MAGIC_NUMBER + b"".join(
        (number & 0xFFFFFFFF).to_bytes(4, "little") for number in (0, int(status.st_mtime), status.st_size)
    )
    cached = Path(importlib.util.cache_from_source(str(source)))
    if cached.is_file() and (code := cached.read_bytes()).startswith(header):
        return code
    with tempfile.TemporaryDirectory() as folder:
        try:
            return Path(py_compile.compile(str(source), f"{folder}/x.pyc", doraise=True) or "").read_bytes()
        except (py_compile.PyCompileError, OSError):
            return None  # a template or a sample, no module


def _linked(binaries: list[Path]) -> Iterator[tuple[str, str]]:
    """Name and path of each shared library that some binary needs and that no package brings itself."""
    done = subprocess.run(
        ["ldd", *map(str, binaries)], capture_output=True, text=True, env={"LC_ALL": "C"}, check=False
    )
    brought = {path.resolve() for path in binaries}
    for line in done.stdout.splitlines():
        words = line.split()
        if not line.startswith("\t") or not words or words[0].startswith("linux-vdso"):
            continue
        name, path = (words[0], words[2]) if "=>" in words[1:2] and len(words) > 2 else (words[0], words[0])
        if path.startswith("/") and Path(path).exists() and Path(path).resolve() not in brought:
            yield name, path
