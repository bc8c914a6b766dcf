"""The thread and event loop in which one runner lives, so that it can harm no other."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trackside_plugin_interface import Runner

if TYPE_CHECKING:
    from concurrent.futures import Future

PULSE_SECONDS: Final = 1.0
HANG_SECONDS: Final = 30.0
STOP_SECONDS: Final = 2.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class RunnerThread:
    """Runs the coroutines of one runner. All methods may be called from any thread."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.loop = asyncio.new_event_loop()
        self._pulse = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"runner-{runner.name}", daemon=True)

    @property
    def is_answering(self) -> bool:
        """Whether the runner lets its loop turn. One that does not takes no further runs."""
        return self._thread.is_alive() and time.monotonic() - self._pulse < HANG_SECONDS

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let this go on until it is done or the thread is stopped."""
        self.call(lambda: self._begin(work))

    def ask(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Let this go on, and return where its result will be; may be cancelled there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function on the loop; nothing comes of it once that is closed."""
        with suppress(RuntimeError):  # what is stored is done by the next agent
            self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Cancel everything, close the runner, and end the thread, unless the runner hangs."""
        closing = asyncio.run_coroutine_threadsafe(self._close(), self.loop)
        try:
            closing.result(STOP_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a runner does, the agent ends
            logger.warning("runner %s did not close: %r", self.runner.name, error)
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._beat()
        self.loop.run_forever()
        self.loop.close()

    def _beat(self) -> None:
        self._pulse = time.monotonic()
        self.loop.call_later(PULSE_SECONDS, self._beat)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self.loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a run of %s was left alone", self.runner.name, exc_info=error)

    async def _close(self) -> None:
        # What these have begun and left behind them too: nothing of it may be in the middle of
        # something when the loop stops.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.runner.close()
        await self.loop.shutdown_default_executor()
