"""The policy's part of a search: it writes one more step of a prefix, or a whole solution.

A prefix is put back as the beginning of the policy's own turn (``rollout.styles``), so its tokens begin with those of
every shorter one. A step ends before the mark of the next one, or at a blank line, as the style cuts solutions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genprm.engines.base import Completion, Engine, GenerationRequest
from genprm.rollout import styles
from genprm.rollout.completer import Terms
from genprm.rollout.styles import Style
from genprm.runs.keys import seed_of
from genprm.search.paths import End, Path
from genprm.types import Problem, Segment

STOPS: dict[Style, str] = {"step-forced": "\nStep ", "blank-lines": "\n\n", "trajectory": "\n\n"}
"""Where a step ends. What begins with it is ours to write."""


def draw_seed(run_seed: int, problem_id: str, name: Sequence[int]) -> int:
    """The seed of a draw, in [0, 2**63): of run, problem and path alone."""
    return seed_of("search", run_seed, problem_id, list(name))


@dataclass(frozen=True, slots=True)
class Pen:
    """What writes for all problems of a worker."""

    engine: Engine
    terms: Terms
    turns: asyncio.Semaphore
    """Requests at once: who comes first is served first, so problems end one after the other."""


class Writer:
    """Writes for one problem, and counts."""

    def __init__(self, pen: Pen, problem: Problem) -> None:
        self._pen = pen
        self._problem = problem
        self.tokens = 0
        """Drawn so far, whatever became of them."""
        self.draws = 0

    async def step(self, path: Path, number: int) -> Path:
        """The path with one step more, by draw ``number`` behind it. Raises ``EngineUnavailable``."""
        settings = self._pen.terms.settings
        written = styles.prefix(settings.style, path.steps, path.separator)
        room = settings.max_tokens - path.tokens
        return await self._grown(path, number, written, STOPS[settings.style], room)

    async def whole(self, number: int) -> Path:
        """A whole solution, by draw ``number``. Raises ``EngineUnavailable``."""
        settings = self._pen.terms.settings
        return await self._grown(Path(), number, styles.opening(settings.style), "", settings.max_tokens)

    async def _grown(self, path: Path, number: int, written: Sequence[Segment], stop: str, room: int) -> Path:
        name = (*path.name, number)
        if room < 1:
            return replace(path, name=name, end="length")
        done = await self._draw(name, tuple(written), stop, room)
        self.tokens += len(done.ids)
        self.draws += 1
        text = done.text.removesuffix(stop) if done.stop_reason == "stop" else done.text
        style = self._pen.terms.settings.style
        steps = _appended(style, path.steps, text)
        separator = path.separator
        if not path.steps:
            separator = _separator(style, text, stopped=done.stop_reason == "stop")
        end: End | None = None if done.stop_reason == "stop" else done.stop_reason
        if len(steps) == len(path.steps) and end in (None, "eos"):
            end = "empty"
        return Path(name, steps, separator, path.tokens + len(done.ids), end)

    async def _draw(self, name: tuple[int, ...], written: tuple[Segment, ...], stop: str, room: int) -> Completion:
        """One draw. Where the policy opens it with a blank line, as some do, that line is no step: it goes on."""
        terms, begun = self._pen.terms, Completion("", (), 0, "stop")
        prompt = terms.ids(self._problem, written)
        seed = draw_seed(terms.run_seed, self._problem.id, name)
        while not begun.text.strip() and begun.stop_reason == "stop" and len(begun.ids) < room:
            request = GenerationRequest(
                prompt=prompt + begun.ids,
                stop=(stop,) if stop else (),
                max_tokens=room - len(begun.ids),
                seed=seed_of(seed, len(begun.ids)) if begun.ids else seed,
                sampling=terms.sampling,
            )
            async with self._pen.turns:
                done = await self._pen.engine.generate(request)
            ids, text = begun.ids + done.ids, begun.text + done.text
            begun = Completion(text, ids, done.prompt_tokens, done.stop_reason)
            if not done.ids:
                break
        return begun


def _appended(style: Style, steps: Sequence[str], text: str) -> tuple[str, ...]:
    """The steps with those of a text behind them, each with its own mark where steps are forced."""
    more = styles.cut(style, text).steps
    if style == "step-forced":
        more = tuple(f"{styles.mark(len(steps) + n)}{styles.unmarked(step)}" for n, step in enumerate(more))
    return (*steps, *more)


def _separator(style: Style, text: str, *, stopped: bool) -> str:
    """What stood between the first step and the next."""
    if style != "step-forced" or not stopped:
        return styles.cut(style, text).separator
    return styles.SEPARATOR if text.endswith("\n") else "\n"
