"""What every test may use: real data where the machine has it, and the same environment everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Nothing in the tests may reach the network; set before any library reads it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")


def shared_data(name: str) -> Path:
    """A file or folder of the real data sets; skips the calling test where the machine has none.

    They lie in the folder that the environment variable GENPRM_DATA names, else in ``shared/data`` beside the checkout.
    """
    place = Path(os.environ.get("GENPRM_DATA") or REPOSITORY.parent / "shared" / "data")
    found = place / name
    if not found.exists():
        pytest.skip(f"needs the data file '{name}'; set GENPRM_DATA to the folder that holds it (looked in {place})")
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests (``-n 2 --dist loadgroup``) a file stays whole, and one has all that need Docker.

    They look for what others left in the engine, and each of them may fill the machine.
    """
    for item in items:
        place = item.path.relative_to(REPOSITORY / "tests")
        needs_docker = "docker" in item.nodeid or place.parts[0] == "sandbox" or place.name == "test_sandbox.py"
        item.add_marker(pytest.mark.xdist_group("docker" if needs_docker else str(place)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray cluster of this machine for the tests of a file: starting it takes seconds."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init("local", include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    yield
    ray.shutdown()
