"""Keeps what this replica refuses in step with the store, whichever replica revoked it."""

import asyncio
import logging
from typing import Final

from sqlalchemy import Connection

from trackside_journal.database import Database
from trackside_journal.fanout import Hub, Subscription
from trackside_journal.tasks import cancel
from trackside_runs.storage import queries, revocations
from trackside_runs.storage.notices import REVOCATIONS_TOPIC
from trackside_runs.storage.revocations import Placed
from trackside_serving.errors import ServiceError
from trackside_serving.revocations import Revocations, revocation_of

_LOG: Final = logging.getLogger(__name__)
_PAGE: Final = 500
_RETRY_SECONDS: Final = 1.0


class RevocationKeeper:
    """Reads what was revoked: everything at the start, then what the hub has news of."""

    def __init__(self, database: Database, hub: Hub, known: Revocations) -> None:
        self._database = database
        self._hub = hub
        self._known = known
        self._position = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when everything is known that is stored now, and go on following.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """
        await self._read()
        self._task = asyncio.create_task(self._follow(), name="revocation-keeper")

    async def close(self) -> None:
        """End following."""
        if self._task is not None:
            await cancel(self._task)

    async def _follow(self) -> None:
        subscription = self._hub.subscribe(REVOCATIONS_TOPIC)
        subscription.must_read = True  # what was stored before we listened
        try:
            while True:
                if not subscription.must_read:
                    await subscription.news()
                    continue
                subscription.must_read = False
                if not await self._has_read(subscription):
                    subscription.must_read = True
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            subscription.close()

    async def _has_read(self, subscription: Subscription) -> bool:
        try:
            subscription.position = await self._read()
        except ServiceError as error:
            _LOG.info("Revocations wait for the store: %s", error.reason)
            return False
        except Exception:  # noqa: BLE001 - whatever comes, later revocations must be heard of
            _LOG.exception("Revocations could not be read.")
            return False
        return True

    async def _read(self) -> int:
        """Learn what is new, and return as of which position of the list that is all."""
        while True:
            head, placed = await self._database.read(self._news)
            self._known.add(revocation_of(one.revocation) for one in placed)
            if placed:
                self._position = placed[-1].position
            if len(placed) < _PAGE:
                return head

    def _news(self, connection: Connection) -> tuple[int, list[Placed]]:
        head = queries.list_range(connection).head
        return head, list(revocations.after(connection, self._position, limit=_PAGE))
