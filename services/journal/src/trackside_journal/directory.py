"""The run directory: what a service knows of runs that are not its own.

A small local copy, fed by a resumable watch of RunsService: who owns a run, who may see it,
whether it is sealed; and which tokens are revoked. A miss asks once. The copy is kept in the
service's own store, so that what was known is known while RunsService is away.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Connection, Table, select
from sqlmodel import Field, SQLModel

from trackside_journal.database import Database
from trackside_journal.dialects import upsert
from trackside_journal.revocation_copy import RevocationCopy
from trackside_journal.tasks import cancel, closing
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_serving.errors import RunDeletedError, RunNotFoundError, ServiceError
from trackside_serving.identity import Caller, may_see
from trackside_serving.revocations import Revocation, Revocations, revocation_of

_LOG: Final = logging.getLogger(__name__)
_CACHED_ENTRIES: Final = 10_000
_RETRY_SECONDS: Final = 0.5
_CURSOR_ROW: Final = "cursor"
_NO_CURSOR: Final = "-"

WatchDirectory = Callable[
    [runs_service_pb2.WatchRunDirectoryRequest],
    AsyncIterator[runs_service_pb2.WatchRunDirectoryResponse],
]
"""Opens a directory watch at RunsService, in this process or another."""


class DirectoryColumns(SQLModel):
    """The columns of a service's `directory` table."""

    run_id: str = Field(primary_key=True, max_length=16)
    owner: str
    project: str
    sealed: bool = Field(default=False)
    end_time_ms: int | None = Field(default=None, sa_type=BigInteger)
    deleted: bool = Field(default=False)
    purged: bool = Field(default=False)
    """Whether nothing of a deleted run is left in this service."""
    confirmed: bool = Field(default=False)
    """Whether RunsService knows that."""


class DirectoryCursorColumns(SQLModel):
    """The columns of a service's `directory_cursor` table: how far its watch has got."""

    name: str = Field(primary_key=True, max_length=16)
    cursor: str


@dataclass(frozen=True, slots=True)
class DirectoryTables:
    """The tables in which a service keeps its copy."""

    directory: Table
    cursor: Table
    revocation: Table


@dataclass(frozen=True, slots=True)
class RunEntry:
    """What is known of a run."""

    run_id: str
    owner: str
    project: str
    sealed: bool
    end_time_ms: int | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class DirectoryWork:
    """A work for the service's committer: store what was told, and the cursor after it."""

    entries: Sequence[RunEntry]
    cursor: str
    revocations: Sequence[Revocation] = ()


class RunDirectory:
    """One service's copy of the directory. Used in the event loop."""

    def __init__(
        self,
        *,
        database: Database,
        tables: DirectoryTables,
        revocations: Revocations,
        watch: WatchDirectory,
        commit: Callable[[DirectoryWork], Awaitable[object]],
        on_change: Callable[[RunEntry], None],
    ) -> None:
        self._database = database
        self._table = tables.directory
        self._cursor_table = tables.cursor
        self._revocations = RevocationCopy(tables.revocation, revocations)
        self._watch = watch
        self._commit = commit
        self._on_change = on_change
        self._cache: OrderedDict[str, RunEntry] = OrderedDict()
        self._asking: dict[str, asyncio.Task[RunEntry]] = {}
        self._sealing: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when all revocations are known that were told before, and follow RunsService.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """
        await self._recall()
        self._task = asyncio.create_task(self._follow(), name="run-directory")

    async def close(self) -> None:
        """End following."""
        await cancel(*self._asking.values())
        if self._task is not None:
            await cancel(self._task)

    def known(self, run_id: str) -> RunEntry | None:
        """Return what is in memory of a run, without asking."""
        return self._cache.get(run_id)

    def is_sealed(self, entry: RunEntry) -> bool:
        """Return whether what is stored of a run now is late; for the committer's thread.

        So it is from the moment when the seal is to be stored. Its watches hear of that when it
        is: they end after everything that is not late.
        """
        return entry.run_id in self._sealing or self._cache.get(entry.run_id, entry).sealed

    async def find_for(self, caller: Caller, run_id: str) -> RunEntry:
        """Return what is known of a run that a caller may see.

        Raises:
            RunNotFoundError: There is no such run, or not for this caller.
            RunDeletedError: There is no such run any more.
        """
        entry = await self.find(run_id)
        if not may_see(caller, run_id=run_id, owner=entry.owner, project=entry.project):
            raise RunNotFoundError
        if entry.deleted:
            raise RunDeletedError
        return entry

    async def find(self, run_id: str) -> RunEntry:
        """Return what is known of a run; asks RunsService once for one never heard of.

        Raises:
            RunNotFoundError: There is no such run.
        """
        entry = self._cache.get(run_id)
        if entry is not None:
            return entry
        asking = self._asking.get(run_id)
        if asking is None:
            asking = asyncio.create_task(self._look_up(run_id), name=f"run-directory-{run_id}")
            self._asking[run_id] = asking
            asking.add_done_callback(lambda task: self._has_asked(run_id, task))
        # One of those who wait may be cancelled; the others still wait for the answer.
        answer = await asyncio.shield(asking)
        return self._cache.get(run_id, answer)

    def store(self, connection: Connection, work: DirectoryWork) -> None:
        """Store entries and the cursor; called by the service's applier in its transaction."""
        if work.entries:
            connection.execute(
                upsert(connection, self._table),
                [
                    {
                        "run_id": entry.run_id,
                        "owner": entry.owner,
                        "project": entry.project,
                        "sealed": entry.sealed,
                        "end_time_ms": entry.end_time_ms,
                        "deleted": entry.deleted,
                        "purged": False,
                        "confirmed": False,
                    }
                    for entry in work.entries
                ],
            )
        self._revocations.store(connection, work.revocations)
        if work.cursor:
            connection.execute(
                upsert(connection, self._cursor_table),
                {"name": _CURSOR_ROW, "cursor": work.cursor},
            )

    def _has_asked(self, run_id: str, task: asyncio.Task[RunEntry]) -> None:
        del self._asking[run_id]
        if not task.cancelled():
            task.exception()  # looked at, for when nobody waits for it any more

    async def _look_up(self, run_id: str) -> RunEntry:
        entry = await self._database.read(lambda connection: self._select(connection, run_id))
        if entry is None:
            entry = await self._ask(run_id)
        # What the watch brought meanwhile is later than what was read or asked.
        entry = self._cache.get(run_id, entry)
        self._remember(entry)
        return entry

    async def _ask(self, run_id: str) -> RunEntry:
        request = runs_service_pb2.WatchRunDirectoryRequest(run_id=run_id)
        async with closing(self._watch(request)) as responses:
            async for response in responses:
                for entry in _entries(response):
                    return entry
        raise RunNotFoundError

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_once()
            except ServiceError as error:
                await self._start_over_if_needed(error)
            except Exception:  # noqa: BLE001 - whatever comes, the copy must go on
                _LOG.exception("The watch of the run directory failed.")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _start_over_if_needed(self, error: ServiceError) -> None:
        if error.reason not in {"CURSOR_EXPIRED", "CURSOR_AHEAD", "CURSOR_FOREIGN"}:
            _LOG.info("The run directory waits for RunsService: %s", error.reason)
            return
        # The store of RunsService is another one, or we were away for long.
        with contextlib.suppress(ServiceError):
            await self._commit(DirectoryWork((), _NO_CURSOR))

    async def _follow_once(self) -> None:
        cursor = await self._recall()
        start = watch_start_pb2.WatchStart()
        if cursor and cursor != _NO_CURSOR:
            start.cursor = cursor
        else:
            start.position = watch_start_pb2.WATCH_POSITION_NOW
        request = runs_service_pb2.WatchRunDirectoryRequest(start=start)
        async with closing(self._watch(request)) as responses:
            async for response in responses:
                await self._take(response)

    async def _take(self, response: runs_service_pb2.WatchRunDirectoryResponse) -> None:
        entries = _entries(response)
        revocations = [revocation_of(message) for message in response.revocations]
        if not entries and not revocations and not response.caught_up:
            return  # a bookmark is not worth a transaction
        self._revocations.known.add(revocations)
        # Before it is stored, for then a purge may be under way: nothing is let in behind it.
        for entry in entries:
            if entry.deleted:
                self._remember(entry)
        self._sealing = frozenset(entry.run_id for entry in entries if entry.sealed)
        try:
            await self._commit(DirectoryWork(entries, response.cursor, revocations))
            for entry in entries:
                self._remember(entry)
        finally:
            self._sealing = frozenset()
        for entry in entries:
            self._on_change(entry)

    def _remember(self, entry: RunEntry) -> None:
        self._cache[entry.run_id] = entry
        self._cache.move_to_end(entry.run_id)
        if len(self._cache) > _CACHED_ENTRIES:
            self._cache.popitem(last=False)

    def _select(self, connection: Connection, run_id: str) -> RunEntry | None:
        c = self._table.c
        row = connection.execute(
            select(c.run_id, c.owner, c.project, c.sealed, c.end_time_ms, c.deleted).where(
                c.run_id == run_id
            )
        ).one_or_none()
        return None if row is None else RunEntry(*row)

    async def _recall(self) -> str | None:
        """Learn every revocation that is stored, and return the cursor of before.

        Before each watch: another replica, with which we share the store, may have been told
        of some and have moved the cursor behind them.
        """
        cursor = await self._database.read(self._select_cursor)
        await self._revocations.recall(self._database)
        return cursor

    def _select_cursor(self, connection: Connection) -> str | None:
        return connection.execute(select(self._cursor_table.c.cursor)).scalar_one_or_none()


def _entries(response: runs_service_pb2.WatchRunDirectoryResponse) -> list[RunEntry]:
    return [
        RunEntry(
            entry.run_id,
            entry.owner,
            entry.project,
            entry.sealed,
            entry.end_time.ToMilliseconds() if entry.HasField("end_time") else None,
            entry.deleted,
        )
        for entry in response.entries
    ]
