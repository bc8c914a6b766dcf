"""Removing what a service has of deleted runs, some of it in each transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select, tuple_, update

from trackside_journal.database import Database
from trackside_journal.tasks import cancel
from trackside_serving.errors import ServiceError

_LOG: Final = logging.getLogger(__name__)
_ROWS_A_WORK: Final = 500
_KEYS_A_STATEMENT: Final = 250
_RETRY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class PurgeWork:
    """A work for the service's committer: remove some of what is left of a deleted run."""

    run_id: str


def purge(
    connection: Connection, work: PurgeWork, *, tables: Sequence[Table], directory: Table
) -> bool:
    """Remove some rows of a run and return whether none is left; called in the transaction.

    Args:
        connection: The transaction's.
        work: Which run.
        tables: The tables that have rows of runs, each with a column `run_id`.
        directory: The run directory, which remembers that the run was deleted.
    """
    room = _ROWS_A_WORK
    for table in tables:
        room -= _delete_some(connection, table, work.run_id, room)
        if room <= 0:
            return False
    is_this = directory.c.run_id == work.run_id
    connection.execute(update(directory).where(is_this).values(purged=True))
    return True


class Purger:
    """Has deleted runs purged, one after another. Used in the event loop.

    Args:
        database: Where the directory is.
        directory: The run directory's table.
        commit: Has a work done; its result is whether nothing is left.
    """

    def __init__(
        self,
        database: Database,
        directory: Table,
        commit: Callable[[PurgeWork], Awaitable[object]],
    ) -> None:
        self._database = database
        self._directory = directory
        self._commit = commit
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to purge: first what an earlier process left."""
        self._task = asyncio.create_task(self._run(), name="purger")

    async def close(self) -> None:
        """End purging; the next process goes on."""
        if self._task is not None:
            await cancel(self._task)

    def deleted(self) -> None:
        """Hear that a run was deleted."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                for run_id in await self._database.read(self._unpurged):
                    while not await self._commit(PurgeWork(run_id)):
                        pass
            except ServiceError as error:
                _LOG.info("Purging waits for the store: %s", error.reason)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                # To look reads the whole directory: only when there is news.
                await self._wake.wait()

    def _unpurged(self, connection: Connection) -> list[str]:
        c = self._directory.c
        found = connection.execute(select(c.run_id).where(c.deleted, ~c.purged))
        return [run_id for (run_id,) in found]


def _delete_some(connection: Connection, table: Table, run_id: str, limit: int) -> int:
    keys: list[Any] = list(table.primary_key)
    found = [
        tuple(row)
        for row in connection.execute(select(*keys).where(table.c.run_id == run_id).limit(limit))
    ]
    for start in range(0, len(found), _KEYS_A_STATEMENT):
        some = found[start : start + _KEYS_A_STATEMENT]
        connection.execute(delete(table).where(tuple_(*keys).in_(some)))
    return len(found)
