"""What LiveService knows of revoked tokens, followed at RunsService and kept in memory.

It needs no copy on disk: whatever it tells comes from the other services, which are asked with
the caller's own token and keep copies themselves.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from trackside_journal.tasks import cancel, closing
from trackside_protos.runs.v1.runs_service_pb2 import (
    WatchRunDirectoryRequest,
    WatchRunDirectoryResponse,
)
from trackside_protos.watches.v1.watch_start_pb2 import WATCH_POSITION_NOW, WatchStart
from trackside_serving.errors import ServiceError
from trackside_serving.revocations import Revocations, revocation_of

_LOG: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 0.5
_NOW: Final = WatchStart(position=WATCH_POSITION_NOW)

Watch = Callable[[WatchRunDirectoryRequest], AsyncIterator[WatchRunDirectoryResponse]]
"""Opens a directory watch at RunsService."""


class RevocationWatch:
    """Follows RunsService for as long as the service runs, whatever comes."""

    def __init__(self, watch: Watch, known: Revocations) -> None:
        self._watch = watch
        self._known = known
        self._start = _NOW
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; RunsService need not be there yet."""
        self._task = asyncio.create_task(self._follow(), name="revocation-watch")

    async def close(self) -> None:
        """End following."""
        if self._task is not None:
            await cancel(self._task)

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_once()
            except ServiceError as error:
                _LOG.info("Revocations wait for RunsService: %s", error.reason)
                if error.reason.startswith("CURSOR_"):
                    self._start = _NOW  # its store is another one; what is known stays true
            except Exception:  # noqa: BLE001 - whatever comes, later revocations must be heard of
                _LOG.exception("The watch of revocations failed.")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow_once(self) -> None:
        request = WatchRunDirectoryRequest(start=self._start, revocations_only=True)
        async with closing(self._watch(request)) as responses:
            async for response in responses:
                self._known.add(revocation_of(message) for message in response.revocations)
                if response.cursor:
                    self._start = WatchStart(cursor=response.cursor)
