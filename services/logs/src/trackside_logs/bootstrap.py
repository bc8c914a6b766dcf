"""Builds the logs service: the one module that knows every other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from google.protobuf.descriptor import ServiceDescriptor

from trackside_journal.bus import Bus, InProcessBus
from trackside_journal.committer import Committer, Ticket
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.database import Database
from trackside_journal.directory import RunDirectory, RunEntry, WatchDirectory
from trackside_journal.fanout import Hub
from trackside_journal.heads import read_heads
from trackside_journal.redis_bus import RedisBus
from trackside_logs.applier import LogApplier, LogBatch, Surroundings, Work
from trackside_logs.merger import Merger
from trackside_logs.servicer import LogsServicer
from trackside_logs.tables import DIRECTORY, DIRECTORY_CURSOR, HEAD, TABLES
from trackside_serving.calls import Implementation

SCHEMA: Final = "logs"
"""The PostgreSQL schema of the service's tables, and its name on the bus."""


class LogsService:
    """The whole service: mount `descriptor` and `handlers` on a server. Made in a running loop.

    Args:
        database_url: `sqlite:///PATH` or `postgresql+psycopg://…`.
        server_id: The identity of the installation.
        redis_url: Where other replicas are heard of; None: there are none.
        watch_directory: Opens a watch of the run directory at RunsService.

    Raises:
        StoreLockedError: Another process holds the store.
        StoreUnavailableError: The store cannot be reached.
    """

    def __init__(
        self,
        *,
        database_url: str,
        server_id: str,
        redis_url: str | None,
        watch_directory: WatchDirectory,
    ) -> None:
        self.database = Database(database_url, schema=SCHEMA)
        self.database.create_tables(TABLES)
        self.hub = Hub()
        self._has_replicas = bool(redis_url)
        self._bus: Bus = InProcessBus(self.hub)
        if redis_url:
            self._bus = RedisBus(self.hub, url=redis_url, server_id=server_id, service=SCHEMA)
        self.merger = Merger(self.database, self._commit)
        self.directory = RunDirectory(
            database=self.database,
            table=DIRECTORY,
            cursor_table=DIRECTORY_CURSOR,
            watch=watch_directory,
            commit=self._commit,
            on_change=self._run_changed,
        )
        applier = LogApplier(
            Surroundings(
                store_directory=self.directory.store,
                is_sealed=self._is_sealed,
                wants_payload=self._wants_payload,
                publish=self._bus.publish,
                added_small=self.merger.added,
            )
        )
        self._committer: Committer[Work] = Committer(self.database, applier, name=SCHEMA)
        # A ticket is invariant in its work, and a batch is one of the works.
        submit = cast("Callable[[Ticket[LogBatch]], None]", self._committer.submit)
        self.servicer = LogsServicer(
            database=self.database,
            directory=self.directory,
            hub=self.hub,
            mint=CursorMint(server_id, JournalKind.LOGS),
            submit=submit,
        )

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return self.servicer.descriptor

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations, by the method's name in the schema."""
        return self.servicer.handlers

    async def start(self) -> None:
        """Begin to work."""
        self._committer.start()
        self.hub.start(self._read_heads if self._has_replicas else None)
        await self._bus.start()
        self.directory.start()
        self.merger.start()

    async def close(self) -> None:
        """Commit what is waiting and give everything back; end the calls before."""
        await self.directory.close()
        await self.merger.close()
        await self._committer.close()
        await self._bus.close()
        await self.hub.close()
        self.database.close()

    async def _commit(self, work: Work) -> object:
        return await self._committer.commit(work)

    def _wants_payload(self, run_id: str) -> bool:
        return self._has_replicas or self.hub.is_watched(run_id)

    def _is_sealed(self, entry: RunEntry) -> bool:
        return (self.directory.known(entry.run_id) or entry).sealed

    def _run_changed(self, entry: RunEntry) -> None:
        # Its watches look whether they may go on, and whether they have come to the end.
        self.hub.read_again(entry.run_id)
        if entry.sealed:
            self.merger.sealed(entry.run_id)

    async def _read_heads(self, run_ids: Sequence[str]) -> Mapping[str, int]:
        return await self.database.read(lambda connection: read_heads(connection, HEAD, run_ids))
