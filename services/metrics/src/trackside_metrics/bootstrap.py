"""Builds the metrics service: the one module that knows every other."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from google.protobuf.descriptor import ServiceDescriptor

from trackside_journal.bus import Bus, InProcessBus
from trackside_journal.committer import Committer, Ticket
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.database import Database
from trackside_journal.directory import RunDirectory, RunEntry, WatchDirectory
from trackside_journal.fanout import Hub
from trackside_journal.heads import read_heads
from trackside_journal.redis_bus import RedisBus
from trackside_metrics.applier import MetricsApplier, Surroundings, Work
from trackside_metrics.history import History, Regions
from trackside_metrics.identities import Identities
from trackside_metrics.merger import Merger
from trackside_metrics.servicer import MetricsServicer
from trackside_metrics.source import Reading
from trackside_metrics.tables import DIRECTORY, DIRECTORY_CURSOR, HEAD, TABLES
from trackside_serving.calls import Implementation

if TYPE_CHECKING:
    from trackside_metrics.intake import MetricBatch

SCHEMA: Final = "metrics"
"""The PostgreSQL schema of the service's tables, and its name on the bus."""


class MetricsService:
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
        identities = Identities()
        self.merger = Merger(self.database, self._commit, identities)
        self.directory = RunDirectory(
            database=self.database,
            table=DIRECTORY,
            cursor_table=DIRECTORY_CURSOR,
            watch=watch_directory,
            commit=self._commit,
            on_change=self._run_changed,
        )
        applier = MetricsApplier(
            identities,
            Surroundings(
                store_directory=self.directory.store,
                is_sealed=self._is_sealed,
                is_watched=self._is_watched,
                publish=self._bus.publish,
                added=self.merger.added,
            ),
        )
        self._committer: Committer[Work] = Committer(self.database, applier, name=SCHEMA)
        reading = Reading(
            database=self.database,
            directory=self.directory,
            mint=CursorMint(server_id, JournalKind.METRICS),
            history=History(identities, Regions()),
            identities=identities,
        )
        # A ticket is invariant in its work, and a batch is one of the works.
        submit = cast("Callable[[Ticket[MetricBatch]], None]", self._committer.submit)
        self.servicer = MetricsServicer(reading=reading, hub=self.hub, submit=submit)

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

    def _is_watched(self, run_id: str) -> bool:
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
