"""What is done again and again in the background, whatever goes wrong in one round."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from trackside_journal.tasks import cancel
from trackside_serving.errors import ServiceError

_LOG: Final = logging.getLogger(__name__)


class Rounds:
    """A task that works every so often, and at once when it is woken. Event loop only."""

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        *,
        name: str,
        every: float,
        on_outage: Callable[[], None] = lambda: None,
    ) -> None:
        """Set up.

        Args:
            work: One round.
            name: Names the task in the log.
            every: Seconds between two rounds.
            on_outage: Called when a round failed because the store is away.
        """
        self._work = work
        self._name = name
        self._every = every
        self._on_outage = on_outage
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._go(), name=self._name)

    async def close(self) -> None:
        """End, in the middle of a round if need be."""
        if self._task is not None:
            await cancel(self._task)

    def wake(self) -> None:
        """Begin a round now, or one more after the one under way."""
        self._wake.set()

    async def _go(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._work()
            except ServiceError as error:
                self._on_outage()
                _LOG.info("The %s waits for the store: %s", self._name, error.reason)
            except Exception:  # noqa: BLE001 - a fault in one round must not end all later ones
                _LOG.exception("A round of the %s failed.", self._name)
