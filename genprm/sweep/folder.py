"""The folder of a sweep: what is done in it.

    sweep.json               grid, figures and choice, derived; ``tested``: the points that have met the test
    common/STAGE             a stage that depends on nothing that varies
    eta=2,lr=5e-6/STAGE      one that depends on these values
    .../recipe.yaml          the stages of such a folder, with their values
    .../stages.json          what was asked of each stage, and whether it is begun, finished or failed

A finished stage is not done again; one that is begun is, by a verb that continues it. Only the driver writes here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import yaml

from genprm.errors import IdentityError, InputError
from genprm.recipes import Recipe, Stage
from genprm.records.lines import replace_text
from genprm.runs.lock import LOCK, hold
from genprm.sweep.layout import Part

SWEEP = "sweep.json"
STAGES = "stages.json"
RECIPE = "recipe.yaml"
State = Literal["begun", "finished", "failed"]


class SweepFolder:
    """One open folder. A context manager that gives the lock back."""

    def __init__(self, path: Path) -> None:
        """Writes nothing. Raises ``InputError`` for a folder that holds other things."""
        self.path = path.resolve()
        self._lock: IO[str] | None = None
        try:
            names = {entry.name for entry in path.iterdir()} if path.exists() else set()
        except OSError as error:
            raise InputError(
                f"{path} is no folder that can be read ({error.strerror}); choose another --out"
            ) from error
        if names - {LOCK} and SWEEP not in names:
            raise InputError(f"{path} is not empty and holds no sweep (no {SWEEP}); choose another --out folder")

    def check(self, parts: Iterable[Part]) -> None:
        """Raises ``IdentityError`` if a stage was begun with other options than it has now."""
        for part in parts:
            known = self._stages(part)
            for stage in part.recipe.stages:
                if stage.name in known and (other := _differs(known[stage.name]["stage"], _asked(stage))):
                    raise IdentityError(
                        f"{self.path / part.folder} holds stage '{stage.name}' with other options "
                        f"({', '.join(other)}); choose another --out folder"
                    )

    def open(self) -> SweepFolder:
        """Make the folder if need be, and lock it. Raises ``InputError``."""
        self._lock = hold(self.path)
        return self

    def __enter__(self) -> SweepFolder:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. Idempotent."""
        if self._lock is not None:
            self._lock.close()

    def folders(self, part: Part) -> dict[str, Path]:
        """Where the stages lie that a part may read, its own among them."""
        return {stage: self.path / folder / stage for stage, folder in part.folders.items()}

    def begin(self, part: Part) -> Path:
        """Make the part's folder, and write its recipe; the path of that."""
        folder = self.path / part.folder
        folder.mkdir(exist_ok=True)
        known = {**self._recipe(folder), **{stage.name: stage for stage in part.recipe.stages}}
        whole = part.recipe.model_copy(update={"stages": tuple(known.values())})
        replace_text(folder / RECIPE, yaml.safe_dump(_plain(whole), sort_keys=False, allow_unicode=True, width=120))
        return folder / RECIPE

    def state(self, folder: str, stage: str) -> State | None:
        """How far a stage is, in the folder of that name."""
        found = _read(self.path / folder / STAGES).get(stage)
        return None if found is None else found["state"]

    def has(self, folder: str, stage: str) -> bool:
        """Whether it is finished there."""
        return self.state(folder, stage) == "finished"

    def mark(self, part: Part, stage: Stage, state: State) -> None:
        """Say how far a stage of the part is."""
        known = self._stages(part)
        known[stage.name] = {"state": state, "stage": _asked(stage)}
        replace_text(self.path / part.folder / STAGES, json.dumps(known, indent=2) + "\n")

    def tested(self) -> dict[str, Any]:
        """What is known of the points that have met the test, by name."""
        found = _read(self.path / SWEEP).get("tested", {})
        return found if isinstance(found, dict) else {}

    def write(self, figures: Mapping[str, Any]) -> None:
        """Replace sweep.json."""
        replace_text(self.path / SWEEP, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")

    def _stages(self, part: Part) -> dict[str, Any]:
        return _read(self.path / part.folder / STAGES)

    def _recipe(self, folder: Path) -> dict[str, Stage]:
        """The stages that the folder's recipe has by now: late ones join those before the choice."""
        if not (folder / RECIPE).exists():
            return {}
        from genprm import recipes

        return {stage.name: stage for stage in recipes.load(folder / RECIPE).stages}


def _asked(stage: Stage) -> dict[str, Any]:
    """What is asked of a stage, as JSON says it. Names of stages stand for folders, so the sweep may be moved."""
    asked: dict[str, Any] = json.loads(json.dumps({"verb": stage.verb, "from": stage.source, **stage.options}))
    return asked


def _differs(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*known, *now} if known.get(key) != now.get(key))


def _plain(recipe: Recipe) -> dict[str, Any]:
    """As YAML takes it: without what is not said."""
    tree: dict[str, Any] = json.loads(recipe.model_dump_json(by_alias=True, exclude_unset=True, exclude={"sweep"}))
    return tree


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no readable JSON; take the file away to do what it counts again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is no JSON object; take the file away to do what it counts again")
    return found
