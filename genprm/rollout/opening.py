"""Opens a completer: loads the model, makes the grader. Where the engine is named it can be sent elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genprm import background, engines
from genprm.engines import Engine, Sampling
from genprm.errors import InputError
from genprm.records.grading import Grader
from genprm.rollout.completer import SAMPLING, Completer, Settings


@dataclass(frozen=True, slots=True)
class Opening:
    """What to open. ``engine`` is a kind, a function that opens one, or an open one."""

    model: str
    engine: str | Callable[[], Engine] | Engine = "auto"
    settings: Settings = field(default_factory=Settings)
    sampling: Sampling = SAMPLING
    run_seed: int = 0
    concurrency: int | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)

    def require_sendable(self) -> None:
        """Raises ``InputError`` for something open, which belongs to this process."""
        if not isinstance(self.engine, str) and not callable(self.engine):
            raise InputError("an open engine cannot be sent to replicas; give its kind or a function that opens it")

    def following(self, engine: object) -> Opening:
        """The same, with this kind of engine where ``auto`` leaves the choice."""
        return replace(self, engine=engine) if self.engine == "auto" and engine in engines.KINDS else self

    async def __call__(self) -> Completer:
        """An open completer. An engine that was open already is used and stays its owner's."""
        # Loading blocks: on a thread of its own Ctrl-C need not wait for it.
        engine = await background.on_thread(lambda: engines.engine_of(self.engine, self.model, **self.engine_options))
        return Completer(
            engine, Grader(), self.settings, sampling=self.sampling, run_seed=self.run_seed,
            name=self.model if isinstance(self.engine, str) else "", concurrency=self.concurrency,
        )  # fmt: skip

    async def close(self, completer: Completer) -> None:
        """Close what was opened here."""
        await (completer.close_grader() if completer.engine is self.engine else completer.aclose())
