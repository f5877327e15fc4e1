"""Is the answer of this text the reference answer? By math-verify, in processes that can be killed.

Expressions that models write can keep a computer algebra system busy for ever, and threads cannot be stopped. So each
question goes to one of a few processes of ``records.answering``, which dies when its processor time is up: the question
counts as ``timeout``, and another worker takes over. Plain numbers need none; what was compared once is remembered.

Infrastructure failure is no verdict: a worker that cannot be started, or that something outside it kills again and
again, raises ``GraderUnavailable``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import genprm
from genprm.errors import GraderUnavailable
from genprm.records.answers import LONGEST_TEXT
from genprm.records.plain import boxed_number, numbers_agree

GradeStatus = Literal["graded", "no_answer", "timeout", "error"]

DEADLINE_S = 5.0
"""Processor time of one question."""
PATIENCE = 20.0
"""Wall clock of a question, in deadlines; after it the machine, not the question, is to blame."""
START_S = 120.0
DEADLINE_SIGNAL = signal.SIGPROF
"""What ends a process whose timer of processor time runs out."""
FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
"""What an expression can do to its process. Every other end came from outside and says nothing of the expression."""
KILLS = 3
"""Times that something else may kill a worker at the same question."""
REMEMBERED = 100_000
"""Comparisons kept, the most recent ones."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What became of one text."""

    answer: str
    """As it is written there; empty where none was found."""
    correct: bool
    status: GradeStatus
    """``timeout`` and ``error``: the answer could not be read or compared. Never a verdict of correct."""


class Grader:
    """Grades many texts at once. Belongs to one event loop. ``workers`` processes start when they are needed."""

    def __init__(self, *, workers: int = 2, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._free = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._compared: OrderedDict[tuple[str, str], Grade] = OrderedDict()
        self._closed = False

    async def grade(self, reference: str, text: str) -> Grade:
        """Whether a text concludes with the reference answer. Raises ``GraderUnavailable``."""
        found = await self.read(text)
        return await self.compare(reference, found.answer) if found.status == "graded" else found

    async def read(self, text: str) -> Grade:
        """The answer that a text concludes with, compared with nothing. Raises ``GraderUnavailable``."""
        answer = boxed_number(text[-LONGEST_TEXT:])
        if answer is None:
            if not text.strip():
                return Grade("", False, "no_answer")
            status, found = await self._ask({"text": text[-LONGEST_TEXT:]})
            if status != "graded":
                return Grade("", False, status)
            answer = str(found["answer"])
        return Grade(answer, False, "graded")

    async def compare(self, reference: str, answer: str) -> Grade:
        """Whether an answer is the reference answer. Raises ``GraderUnavailable``."""
        if not answer.strip():
            return Grade("", False, "no_answer")
        same = numbers_agree(reference, answer)
        if same is not None:
            return Grade(answer, same, "graded")
        known = self._compared.get((reference, answer))
        if known is None:
            status, found = await self._ask({"reference": reference, "answer": answer})
            known = Grade(answer, bool(found.get("correct")), status)
        self._compared[reference, answer] = known
        self._compared.move_to_end((reference, answer))
        if len(self._compared) > REMEMBERED:
            self._compared.popitem(last=False)
        return known

    async def aclose(self) -> None:
        """End all workers. Idempotent; later questions that need one raise ``GraderUnavailable``."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    async def _ask(self, request: Mapping[str, str]) -> tuple[GradeStatus, dict[str, Any]]:
        """The reply of a worker, or why there is none: graded, timeout or error."""
        async with self._free:
            for _ in range(KILLS):
                worker = await self._take()
                try:
                    reply = await worker.ask(request)
                except BaseException:
                    await worker.end()  # it is dead or at work on what nobody waits for
                    raise
                if isinstance(reply, dict):
                    self._idle.append(worker)
                    return ("error", {}) if "error" in reply else ("graded", reply)
                await worker.end()
                if reply == DEADLINE_SIGNAL:
                    return "timeout", {}
                if reply in FAULTS:
                    return "error", {}
            raise GraderUnavailable(
                f"the process that compares answers was killed {KILLS} times in a row; see whether memory is short"
            )

    async def _take(self) -> _Worker:
        if self._closed:
            raise GraderUnavailable("the grader is closed; open a new one")
        return self._idle.pop() if self._idle else await _Worker.start(self._deadline_s)


class _Worker:
    """One process of ``records.answering``."""

    def __init__(self, process: asyncio.subprocess.Process, deadline_s: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._patience_s = PATIENCE * deadline_s

    @classmethod
    async def start(cls, deadline_s: float) -> _Worker:
        """A worker that is ready. Raises ``GraderUnavailable``."""
        command = [sys.executable, "-P", "-m", "genprm.records.answering", str(deadline_s)]
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=pipe,
                stdout=pipe,
                stderr=nothing,
                env=_environment(),
                limit=1 << 20,
                start_new_session=True,  # Ctrl-C is for us: a worker that it ended would look like a failure
            )
        except OSError as error:
            raise GraderUnavailable(f"the process that compares answers cannot be started: {error}") from error
        worker = cls(process, deadline_s)
        try:
            async with asyncio.timeout(START_S):
                ready = await worker._stdout.readline()
        except BaseException as error:
            await worker.end()
            if isinstance(error, TimeoutError):
                raise GraderUnavailable(
                    f"the process that compares answers was not ready within {START_S:.0f} s"
                ) from error
            raise
        if not ready:
            await worker.end()
            raise GraderUnavailable(
                f"the process that compares answers ended at its start; run {' '.join(command)} to see why"
            )
        return worker

    async def ask(self, request: Mapping[str, str]) -> dict[str, Any] | int:
        """The reply, or the signal the process died of (0 or less: it left); SIGKILL if it has to be killed."""
        try:
            async with asyncio.timeout(self._patience_s):
                with contextlib.suppress(ConnectionError):
                    self._stdin.write(json.dumps(request).encode() + b"\n")
                    await self._stdin.drain()
                line = await self._stdout.readline()
                if not line.endswith(b"\n"):
                    return -await self._process.wait()
        except TimeoutError:
            return signal.SIGKILL
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def end(self) -> None:
        """Kill it; idempotent."""
        self._kill()
        await self._process.wait()
        self._stdin.close()
        with contextlib.suppress(ConnectionError):
            await self._stdin.wait_closed()

    def _kill(self) -> None:
        if self._process.returncode is None:
            # Not by the process object: it would collect one that has just died, and the signal it died of is lost.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Ours, with the place that this package was imported from: the process must find the same one."""
    place = str(Path(genprm.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (place, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
