"""``genprm verify --mode cascade``: cheap rationales first, dearer ones for the solutions that they leave open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from genprm import background, engines, resources
from genprm.cascade import Cascaded, verify_in_cascade
from genprm.cli import console

if TYPE_CHECKING:
    from genprm.api import Verifier
    from genprm.engines import Engine
    from genprm.records import Loaded
    from genprm.types import Mode
    from genprm.verify import Progress

Make = Callable[[Any, "Mode"], "Verifier"]
"""A verifier from an engine (open, or its kind) and a mode."""


def run(
    make: Make, kind: str, model: str, options: dict[str, Any], loaded: Loaded, out: Path, to: Console, *,
    margin: float, extent: dict[str, Any], spread: bool, log_json: bool = False,
) -> Cascaded:  # fmt: skip
    """Verify in cascade with a live display. The model is loaded once, unless replicas (``spread``) load their own."""
    from genprm.cli.progress import JsonLines, LiveDisplay

    console.log_to_stderr(as_json=log_json)
    for note in loaded.notes:
        to.print(Text(note), soft_wrap=True)
    engine: Engine | None = None
    lent: _Lent | None = None
    shown: list[Mode] = []
    try:
        if not spread:
            folder = resources.model(model)
            engine = background.shared().run(background.on_thread(lambda: engines.open_engine(kind, folder, **options)))
            lent = _Lent(engine, model)
        with console.stoppable(out), JsonLines(to.file) if log_json else LiveDisplay(to) as display:

            def beat(mode: Mode, progress: Progress) -> None:
                if mode not in shown and not log_json:
                    to.print(Text(f"mode {mode}: {progress.items_total} solutions"), soft_wrap=True)
                    shown.append(mode)
                display.vote(progress)

            return verify_in_cascade(
                loaded, out, lambda mode: make(lent or kind, mode), margin=margin, on_progress=beat, extent=extent
            )
    finally:
        if engine is not None:
            background.shared().run(engine.aclose())


class _Lent:
    """An engine that several verifiers use one after the other, under the name that was asked for."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self.identity = {**engine.identity, "model": model}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def finish(to: Console, loaded: Loaded, found: Cascaded) -> None:
    """Print what the cascade found."""
    pairs = zip(loaded.solutions, found.items, strict=True)
    known = [solution.label == item["predicted_label"] for solution, item in pairs if solution.label is not None]
    grid = console.grid("mode", "solutions it saw", "verdicts it gave", "tokens")
    left = len(found.items)
    for mode, tokens in found.tokens.items():
        grid.add_row(mode, str(left), str(found.decided[mode]), f"{tokens:,}")
        left -= found.decided[mode]
    to.print(grid)
    if known:
        to.print(f"{sum(known)} of {len(known)} first errors equal the label")
