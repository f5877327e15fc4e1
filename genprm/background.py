"""One event loop on a thread of its own: asynchronous work for callers that are not, notebooks included.

Engines and sandboxes belong to the loop that they first ran on. So there is one loop for the whole process: what is
given to one verifier and later to another keeps working.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar, cast

Result = TypeVar("Result")


class BackgroundLoop:
    """Runs coroutines on its loop, from any thread, until closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine. Cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine and wait for it. Ctrl-C cancels it and waits until it has cleaned up."""
        done = threading.Event()
        future = self.submit(_announcing(work, done))
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            done.wait(timeout=10)
            raise

    def close(self) -> None:
        """Stop the loop and the thread. Idempotent."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


async def on_thread(work: Callable[[], Result]) -> Result:
    """Do blocking work on a daemon thread. Cancelled, it is left to itself and does not hold up the interpreter."""
    loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def settle(setter: Callable[[Any], None], outcome: Any) -> None:
        if not future.done():
            setter(outcome)

    def run() -> None:
        setter: Callable[[Any], None] = future.set_result
        try:
            outcome: Any = work()
        except BaseException as error:  # noqa: BLE001 (it is handed to whoever waits)
            setter, outcome = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, setter, outcome)

    threading.Thread(target=run, name="genprm opening", daemon=True).start()
    return cast(Result, await future)


_lock = threading.Lock()
_shared: tuple[int, BackgroundLoop] | None = None


def shared() -> BackgroundLoop:
    """The loop of this process, started at the first call and closed when the interpreter exits."""
    global _shared
    with _lock:
        # A forked child has the loop's memory but not its thread.
        if _shared is None or _shared[0] != os.getpid():
            _shared = os.getpid(), BackgroundLoop("genprm")
            atexit.register(_shared[1].close)
        return _shared[1]


async def _announcing(work: Coroutine[Any, Any, Result], done: threading.Event) -> Result:
    try:
        return await work
    finally:
        done.set()
