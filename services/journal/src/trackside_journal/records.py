"""What stands under a service that keeps one record of each run beside RunsService.

LogsService and MetricsService are such services: a store with a head for each run, one writer,
a hub that a bus feeds, a copy of the run directory, and workers such as a merger.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import Connection, MetaData, Table

from trackside_journal.buses import open_bus
from trackside_journal.committer import Applier, Committer, Ticket
from trackside_journal.database import Database
from trackside_journal.directory import DirectoryTables, RunDirectory, RunEntry, WatchDirectory
from trackside_journal.fanout import Hub
from trackside_journal.heads import read_heads
from trackside_journal.purging import Confirmed, Purger, PurgeWork, confirm, purge
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_serving.calls import Implementation, Service
from trackside_serving.revocations import Revocations

W = TypeVar("W")

ConfirmDeletion = Callable[[runs_service_pb2.ConfirmDeletionRequest], Awaitable[object]]
"""Calls RunsService, in this process or another."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a service works."""

    database_url: str
    """`sqlite:///PATH` or `postgresql+psycopg://…`."""
    server_id: str
    """The identity of the installation."""
    redis_url: str | None
    """Where other replicas are heard of; None: there are none."""
    watch_directory: WatchDirectory
    """Opens a watch of the run directory at RunsService."""
    confirm_deletion: ConfirmDeletion
    """Tells RunsService that nothing of deleted runs is left."""
    revocations: Revocations
    """What the server refuses; kept in step with RunsService."""


@dataclass(frozen=True, slots=True)
class RecordTables:
    """The tables of a service."""

    schema: str
    """The PostgreSQL schema that they are in, and the service's name on the bus."""
    every: MetaData
    head: Table
    directory: Table
    directory_cursor: Table
    revocation: Table

    @property
    def of_runs(self) -> list[Table]:
        """Those that keep something of each run, beside the directory."""
        return [
            table
            for table in self.every.sorted_tables
            if "run_id" in table.c and table is not self.directory
        ]


class Worker(Protocol):
    """Works in the background on what was stored, for example merges what is small."""

    def start(self) -> None:
        """Begin to work: first on what an earlier process left."""
        ...

    async def close(self) -> None:
        """End working; what is being committed may still be."""
        ...

    def sealed(self, run_id: str) -> None:
        """Hear that a run is sealed."""
        ...


class RecordService(Generic[W]):
    """The base of such a service: mount it on a server. Made in a running loop.

    A subclass makes what is its own from the parts here, then calls `work_with`.

    Raises:
        StoreLockedError: Another process holds the store.
        StoreUnavailableError: The store cannot be reached.
    """

    def __init__(self, surroundings: Surroundings, tables: RecordTables) -> None:
        self.database = Database(surroundings.database_url, schema=tables.schema)
        self.database.create_tables(tables.every)
        self.hub = Hub()
        self.bus = open_bus(
            self.hub,
            redis_url=surroundings.redis_url,
            server_id=surroundings.server_id,
            service=tables.schema,
        )
        self.directory = RunDirectory(
            database=self.database,
            tables=DirectoryTables(tables.directory, tables.directory_cursor, tables.revocation),
            revocations=surroundings.revocations,
            watch=surroundings.watch_directory,
            commit=self.commit,
            on_change=self._run_changed,
        )
        self._purger = Purger(self.database, tables.directory, self.commit, self._confirm_deletion)
        self._tell_deletion = surroundings.confirm_deletion
        self._has_replicas = surroundings.redis_url is not None
        self._tables = tables

    def work_with(self, applier: Applier[W], *workers: Worker) -> None:
        """Set who stores, and who works in the background."""
        self._workers = workers
        self._committer: Committer[W] = Committer(self.database, applier, name=self._tables.schema)

    def serve_with(self, servicer: Service) -> None:
        """Set who answers the calls."""
        self._servicer = servicer

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return self._servicer.descriptor

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations, by the method's name in the schema."""
        return self._servicer.handlers

    async def start(self) -> None:
        """Begin to work."""
        self._committer.start()
        self.hub.start(self._read_heads if self._has_replicas else None)
        await self.bus.start()
        await self.directory.start()
        for worker in self._workers:
            worker.start()
        self._purger.start()

    async def close(self) -> None:
        """Commit what is waiting and give everything back; end the calls before."""
        await self.directory.close()
        await self._purger.close()
        for worker in self._workers:
            await worker.close()
        await self._committer.close()
        await self.bus.close()
        await self.hub.close()
        self.database.close()

    def submit(self, ticket: Ticket[Any]) -> None:
        """Let one work wait to be committed with others."""
        self._committer.submit(ticket)

    def purge(self, connection: Connection, work: PurgeWork) -> bool:
        """Remove some of what is left of a deleted run; called by the applier."""
        return purge(
            connection, work, tables=self._tables.of_runs, directory=self._tables.directory
        )

    def confirmed(self, connection: Connection, work: Confirmed) -> None:
        """Note that RunsService knows what is purged; called by the applier."""
        confirm(connection, work, directory=self._tables.directory)

    async def _confirm_deletion(self, run_ids: Sequence[str]) -> None:
        request = runs_service_pb2.ConfirmDeletionRequest(
            service=self._tables.schema, run_ids=run_ids
        )
        await self._tell_deletion(request)

    async def commit(self, work: Any) -> object:  # noqa: ANN401 - one of the works of W
        """Commit one work and return its result.

        Raises:
            ServiceError: It was refused or could not be stored.
        """
        return await self._committer.commit(work)

    def is_watched(self, run_id: str) -> bool:
        """Return whether anybody may be following a run, here or at another replica."""
        return self._has_replicas or self.hub.is_watched(run_id)

    def _run_changed(self, entry: RunEntry) -> None:
        # Its watches look whether they may go on, and whether they have come to the end.
        self.hub.read_again(entry.run_id)
        if entry.deleted:
            self._purger.deleted()
        elif entry.sealed:
            for worker in self._workers:
                worker.sealed(entry.run_id)

    async def _read_heads(self, run_ids: Sequence[str]) -> Mapping[str, int]:
        head = self._tables.head
        return await self.database.read(lambda connection: read_heads(connection, head, run_ids))
