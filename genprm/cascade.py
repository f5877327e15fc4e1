"""Cascade: cheap rationales for every solution, dearer ones for those of which the cheap ones were not sure.

``direct`` first, then ``analyze``, then ``code``. What goes on is verified anew from its first step, so no model sees
a history of mixed modes, and a verdict is wholly of one mode. It is not what ``code`` alone would have said: where a
cheap mode is sure and wrong, the cascade is wrong.

    DIR/direct  DIR/analyze  DIR/code    a run directory each, of the solutions that came so far
    DIR/items.jsonl                      the verdicts, each with the ``mode`` that gave it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genprm.api import Verifier
from genprm.errors import InputError
from genprm.records import Loaded, read_lines
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.types import Mode
from genprm.verify import Progress

MODES: tuple[Mode, ...] = ("direct", "analyze", "code")
DEFAULT_MARGIN = 0.1
_UNUSED = "none.jsonl"
"""The folder has no units of its own: they are in the folders of its modes."""

OnProgress = Callable[[Mode, Progress], None]


@dataclass(frozen=True, slots=True)
class Cascaded:
    """What a cascade left in its directory."""

    path: Path
    items: tuple[Mapping[str, Any], ...]
    """Records of items.jsonl, in input order."""
    decided: Mapping[str, int]
    """Solutions by the mode that gave the verdict."""
    tokens: Mapping[str, int]
    """Tokens by mode, of all solutions that it saw."""


def unsure(rewards: Sequence[float | None], margin: float) -> bool:
    """Whether a reward that the verdict rests on is more than ``margin`` away from both 0 and 1, or unknown.

    Steps after a sure first error decide nothing.
    """
    for reward in rewards:
        if reward is None or margin < reward < 1 - margin:
            return True
        if reward <= margin:
            return False
    return False


def check_margin(margin: float) -> None:
    """Raises ``InputError`` for a margin that leaves nothing open, or is none."""
    if not 0 <= margin < 0.5:
        raise InputError(f"margin is {margin}; it must be at least 0 and below 0.5")


def verify_in_cascade(
    loaded: Loaded,
    out: Path | str,
    verifier_of: Callable[[Mode], Verifier],
    *,
    margin: float = DEFAULT_MARGIN,
    on_progress: OnProgress | None = None,
    extent: Mapping[str, Any] | None = None,
) -> Cascaded:
    """Verify into a folder, continuing what is there. ``verifier_of`` makes the verifier of a mode; it is closed here.

    Raises what ``Verifier.verify_to_dir`` raises. ``items.jsonl`` is written when all is done, so an interrupted
    cascade leaves that of the run before, or none. The number of votes, like the stop rule, is part of the identity:
    with others, other solutions would have gone on.
    """
    check_margin(margin)
    out = Path(out)
    names = [solution.id for solution in loaded.solutions]
    found: dict[str, dict[str, Any]] = {}
    tokens: dict[str, int] = {}
    waiting = loaded
    with closing(_Top(out, loaded, margin, extent or {})) as top:
        for mode in MODES:
            with verifier_of(mode) as verifier:
                top.open(verifier)
                tell = None if on_progress is None else _telling(on_progress, mode)
                summary = verifier.verify_to_dir(waiting, out / mode, on_progress=tell)
            tokens[mode] = int(summary.metrics["tokens"])
            found |= {str(item["id"]): {**item, "mode": mode} for _, item in read_lines(out / mode / "items.jsonl")}
            left = [s for s in waiting.solutions if unsure(found[s.id]["rewards"], margin)]
            if not left:
                break
            waiting = replace(waiting, solutions=tuple(left))
        top.write([found[name] for name in names], tokens)  # not before: what may yet go on is no verdict
    items = tuple(found[name] for name in names)
    return Cascaded(out, items, decided(items), tokens)


def decided(items: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Solutions by the mode of their verdict."""
    return {mode: sum(item["mode"] == mode for item in items) for mode in MODES}


class _Top:
    """The folder above those of the modes; opened once the first verifier says what it is."""

    def __init__(self, path: Path, loaded: Loaded, margin: float, extent: Mapping[str, Any]) -> None:
        self._path, self._loaded, self._margin, self._extent = path, loaded, margin, extent
        self._run: RunDirectory | None = None

    def open(self, verifier: Verifier) -> None:
        if self._run is not None:
            return
        # All that decides which solutions go on.
        cascade = {"margin": self._margin, "votes": verifier.votes, "vote_rule": verifier.vote_rule}
        cascade |= asdict(verifier.stop)
        identity = {**verifier.identity, "mode": "cascade", "sandbox": {"kind": "see code"}, "cascade": cascade}
        configuration = Configuration("verify", identity, self._extent, self._loaded.source)
        self._run = RunDirectory.open(self._path, configuration, self._loaded.solutions, units=_UNUSED)
        self._run.write_environment(environment(**identity))

    def write(self, items: Sequence[Mapping[str, Any]], tokens: Mapping[str, int]) -> None:
        assert self._run is not None, "open first"
        self._run.write_items(items)
        self._run.write_metrics({"solutions": len(items), "decided": decided(items), "tokens": dict(tokens)})

    def close(self) -> None:
        if self._run is not None:
            self._run.close()


def _telling(on_progress: OnProgress, mode: Mode) -> Callable[[Progress], None]:
    return lambda progress: on_progress(mode, progress)
