"""Removing what a service has of deleted runs, some in each transaction, and saying when it is."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, select, tuple_, update

from trackside_journal.database import Database
from trackside_journal.tasks import cancel
from trackside_serving.errors import ServiceError

_LOG: Final = logging.getLogger(__name__)
_ROWS_A_WORK: Final = 500
_KEYS_A_STATEMENT: Final = 250
_RETRY_SECONDS: Final = 10.0
_RUNS_A_CONFIRMATION: Final = 500


@dataclass(frozen=True, slots=True)
class PurgeWork:
    """A work for the service's committer: remove some of what is left of a deleted run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A work for the service's committer: RunsService knows that nothing is left of runs."""

    run_ids: Sequence[str]


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


def confirm(connection: Connection, work: Confirmed, *, directory: Table) -> None:
    """Note that RunsService knows of purged runs; called in the transaction."""
    are_these = directory.c.run_id.in_(work.run_ids) & directory.c.purged
    connection.execute(update(directory).where(are_these).values(confirmed=True))


class Purger:
    """Has deleted runs purged, one after another, and tells RunsService. Event loop only.

    Whatever goes wrong is tried again, also by the next process: what is purged is confirmed
    once RunsService can be reached.

    Args:
        database: Where the directory is.
        directory: The run directory's table.
        commit: Has a work done; the result of a purge is whether nothing is left.
        tell: Tells RunsService that nothing of some runs is left.
        retry_seconds: How long to wait before what went wrong is tried again.
    """

    def __init__(
        self,
        database: Database,
        directory: Table,
        commit: Callable[[PurgeWork | Confirmed], Awaitable[object]],
        tell: Callable[[Sequence[str]], Awaitable[None]],
        *,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._database = database
        self._directory = directory
        self._commit = commit
        self._tell = tell
        self._retry_seconds = retry_seconds
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
            # To look reads the whole directory: only when there is news, or something was left.
            patience = None if await self._has_done_all() else self._retry_seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), patience)

    async def _has_done_all(self) -> bool:
        """Purge and confirm; return whether nothing has to be tried again."""
        try:
            c = self._directory.c
            unpurged = await self._chosen(c.deleted, ~c.purged)
            done = [await self._is_purged(run_id) for run_id in unpurged]
            await self._confirm(await self._chosen(c.purged, ~c.confirmed))
        except ServiceError as error:
            _LOG.info("Purging waits: %s", error.reason)
            return False
        except Exception:  # noqa: BLE001 - whatever comes, later deletions must go on
            _LOG.exception("Deleted runs could not be purged or confirmed.")
            return False
        return all(done)

    async def _is_purged(self, run_id: str) -> bool:
        try:
            while not await self._commit(PurgeWork(run_id)):
                pass
        except ServiceError:
            raise
        except Exception:  # noqa: BLE001 - one run must not keep all others
            _LOG.exception("A deleted run could not be purged.", extra={"run_id": run_id})
            return False
        return True

    async def _confirm(self, run_ids: Sequence[str]) -> None:
        for start in range(0, len(run_ids), _RUNS_A_CONFIRMATION):
            some = run_ids[start : start + _RUNS_A_CONFIRMATION]
            await self._tell(some)
            await self._commit(Confirmed(some))

    async def _chosen(self, *conditions: ColumnElement[bool]) -> list[str]:
        query = select(self._directory.c.run_id).where(*conditions)
        return await self._database.read(
            lambda connection: list(connection.execute(query).scalars())
        )


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
