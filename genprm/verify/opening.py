"""Opens a judge: loads the model, starts the sandbox. Where both are named it can be sent elsewhere and done there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genprm import background, engines, execution, resources
from genprm.engines import Engine, Sampling
from genprm.errors import InputError
from genprm.execution import Sandbox
from genprm.rationale.settings import Settings
from genprm.verify.votes import Judge

KINDS = (*engines.KINDS, "docker", "local")


@dataclass(frozen=True, slots=True)
class Opening:
    """What to open. ``engine`` is a kind, a function that opens one, or an open one; ``sandbox`` a kind or open."""

    model: str
    engine: str | Callable[[], Engine] | Engine = "auto"
    sandbox: str | Sandbox = "auto"
    settings: Settings = field(default_factory=Settings)
    sampling: Sampling = field(default_factory=Sampling)
    run_seed: int = 0
    concurrency: int | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    sandbox_options: Mapping[str, Any] = field(default_factory=dict)

    def require_sendable(self) -> None:
        """Raises ``InputError`` for something open, which belongs to this process."""
        if not isinstance(self.engine, str) and not callable(self.engine):
            raise InputError("an open engine cannot be sent to replicas; give its kind or a function that opens it")
        if not isinstance(self.sandbox, str):
            raise InputError("an open sandbox cannot be sent to replicas; give its kind")

    def following(self, identity: Mapping[str, Any]) -> Opening:
        """The same, with the kinds of a run that has this identity where ``auto`` leaves the choice."""

        def chosen(given: Any, part: str, name: str) -> Any:
            kind = (identity.get(part) or {}).get(name)
            return kind if given == "auto" and isinstance(kind, str) and kind in KINDS else given

        return replace(
            self, engine=chosen(self.engine, "engine", "engine"), sandbox=chosen(self.sandbox, "sandbox", "kind")
        )

    async def __call__(self) -> Judge:
        """An open judge. What was open already is used and stays its owner's."""
        if isinstance(self.engine, str):
            resources.model(self.model)  # a model that is not there is said before anything is started
        # The sandbox first: it is up in a second, and what it lacks must not show after minutes of loading.
        sandbox = await self._open_sandbox()
        try:
            # Loading blocks: on a thread of its own Ctrl-C need not wait for it, and the sandbox is closed at once.
            engine = await background.on_thread(
                lambda: engines.engine_of(self.engine, self.model, **self.engine_options)
            )
        except BaseException:
            await self._close_sandbox(sandbox)
            raise
        return Judge(engine, sandbox, self.settings, self.sampling, self.run_seed, self.concurrency)

    async def close(self, judge: Judge) -> None:
        """Close what was opened here."""
        if judge.engine is not self.engine:
            await judge.engine.aclose()
        await self._close_sandbox(judge.sandbox)

    async def _open_sandbox(self) -> Sandbox | None:
        runs_code = self.settings.mode in ("code", "code-only") and self.settings.execute
        return await execution.started_sandbox(self.sandbox, **self.sandbox_options) if runs_code else None

    async def _close_sandbox(self, sandbox: Sandbox | None) -> None:
        if sandbox is not None and sandbox is not self.sandbox:
            await sandbox.aclose()
