"""Builds the runs service: the one module that knows every other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from trackside_journal.buses import open_bus
from trackside_journal.committer import Committer
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.database import Database
from trackside_journal.dialects import upsert
from trackside_journal.fanout import Hub
from trackside_journal.tasks import cancel, closing
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.agent_lines import AgentLines
from trackside_runs.agent_news import AgentNews
from trackside_runs.desk import ControlDesk
from trackside_runs.listing import RunLists
from trackside_runs.liveness import Timings
from trackside_runs.output_reads import OutputReads
from trackside_runs.peers import Peers
from trackside_runs.registry import Registry, Signals, Work
from trackside_runs.revocation_calls import RevocationCalls
from trackside_runs.revocation_keeper import RevocationKeeper
from trackside_runs.runners_servicer import RunnersServicer
from trackside_runs.servicer import RunsServicer
from trackside_runs.silences import Silences
from trackside_runs.storage import queries, tables
from trackside_runs.storage.notices import AGENTS_TOPIC
from trackside_runs.task_listing import TaskLists
from trackside_runs.watches import Mints, RunWatches
from trackside_runs.watchman import Watchman
from trackside_serving.calls import Call, Service
from trackside_serving.clock import ClockMs, forward_clock
from trackside_serving.identity import Caller, Role
from trackside_serving.settings import Settings
from trackside_serving.tokens import TokenSigner, TokenVerifier

SCHEMA: Final = "runs"
"""The PostgreSQL schema of this service's tables."""

_INTERNAL: Final = Caller(subject="directory", role=Role.SERVICE)


@dataclass(frozen=True, slots=True)
class Trust:
    """What the service knows its installation and its callers by."""

    server_id: str
    """The installation's; part of every cursor."""
    signer: TokenSigner
    """Makes the tokens of launched programs."""
    verifier: TokenVerifier
    """The server's own, which is told what is revoked."""


class RunsApplication:
    """The running service: what to mount on a server, and what runs beside it."""

    def __init__(
        self,
        *,
        database_url: str,
        redis_url: str | None,
        settings: Settings,
        trust: Trust,
        address: Callable[[], str],
        clock_ms: ClockMs | None = None,
    ) -> None:
        """Open the store and make its tables.

        Args:
            database_url: The store.
            redis_url: Where other replicas are heard of; None: there are none.
            settings: The timings.
            trust: The keys, and the installation's identity.
            address: Returns where clients find the server, once it listens.
            clock_ms: The present; default: the server's clock.

        Raises:
            StoreLockedError: Another process holds the SQLite file.
        """
        clock_ms = clock_ms or forward_clock()
        server_id, verifier = trust.server_id, trust.verifier
        self._database = Database(database_url, schema=SCHEMA)
        self._database.create_tables(tables.RunsTables.metadata)
        _seed(self._database)
        self._hub = Hub()
        self._bus = open_bus(self._hub, redis_url=redis_url, server_id=server_id, service=SCHEMA)
        self._is_lossy = redis_url is not None
        self._listener: asyncio.Task[None] | None = None
        self._revocations = RevocationKeeper(self._database, self._hub, verifier.revocations)
        silences = Silences(clock_ms(), _timings(settings))
        registry = Registry(
            self._bus,
            Signals(
                agents_wanted=self._agents_wanted,
                children_advanced=self._children_advanced,
                runs_removed=self._runs_removed,
            ),
            clock_ms=clock_ms,
            silences=silences,
            is_watched=self._is_watched,
        )
        self._committer: Committer[Work] = Committer(self._database, registry, name=SCHEMA)
        self._watchman = Watchman(
            self._database, self._committer, clock_ms, silences, settings.change_retention_days
        )
        lines = AgentLines(lambda: settings.peer_address or address())
        news = AgentNews(self._database, self._committer, trust.signer)
        self._runners = RunnersServicer(
            database=self._database,
            committer=self._committer,
            news=news,
            lines=lines,
            clock_ms=clock_ms,
            lease_seconds=settings.lease,
        )
        self._desk = ControlDesk(self._database, news.note_delivered)
        watches = RunWatches(
            self._database,
            self._hub,
            Mints(
                run=CursorMint(server_id, JournalKind.RUNS),
                listing=CursorMint(server_id, JournalKind.RUN_LIST),
                directory=CursorMint(server_id, JournalKind.RUN_DIRECTORY),
            ),
        )
        self._runs = RunsServicer(
            database=self._database,
            committer=self._committer,
            watches=watches,
            lists=RunLists(self._database, clock_ms),
            tasks=TaskLists(self._database, clock_ms),
            desk=self._desk,
            reads=OutputReads(
                self._database,
                self._committer,
                lines,
                Peers(settings.tls_certificate),
                clock_ms=clock_ms,
                lease_seconds=settings.lease,
            ),
            clock_ms=clock_ms,
            revocations=RevocationCalls(self._database, self._committer, verifier, clock_ms),
            lost_after_seconds=settings.lost_after,
        )

    @property
    def services(self) -> list[Service]:
        """What to mount on a server."""
        return [self._runs, self._runners]

    @property
    def store(self) -> str:
        """The store's name and version."""
        return self._database.description

    async def start(self) -> None:
        """Begin to commit, listen and watch."""
        self._committer.start()
        await self._bus.start()
        self._hub.start(self._read_heads if self._is_lossy else None)
        await self._revocations.start()
        self._desk.start()
        self._watchman.start()
        self._listener = asyncio.create_task(self._listen(), name="agents-listener")

    async def close(self) -> None:
        """Commit what is waiting and give everything back."""
        if self._listener is not None:
            await cancel(self._listener)
        await self._revocations.close()
        await self._watchman.close()
        await self._desk.close()
        await self._committer.close()
        await self._hub.close()
        await self._bus.close()
        self._database.close()

    async def watch_directory(
        self, request: runs_service_pb2.WatchRunDirectoryRequest
    ) -> AsyncIterator[runs_service_pb2.WatchRunDirectoryResponse]:
        """Yield the directory to a service of the same process."""
        watch = self._runs.watch_run_directory(request, Call(_INTERNAL))
        async with closing(watch) as responses:
            async for response in responses:
                yield runs_service_pb2.WatchRunDirectoryResponse.FromString(response)

    async def report_figures(
        self, request: runs_service_pb2.ReportFiguresRequest
    ) -> runs_service_pb2.ReportFiguresResponse:
        """Take in figures from a service of the same process."""
        return await self._runs.report_figures(request, Call(_INTERNAL))

    async def confirm_deletion(
        self, request: runs_service_pb2.ConfirmDeletionRequest
    ) -> runs_service_pb2.ConfirmDeletionResponse:
        """Take in a confirmation from a service of the same process."""
        return await self._runs.confirm_deletion(request, Call(_INTERNAL))

    async def _read_heads(self, topics: Sequence[str]) -> dict[str, int]:
        return await self._database.read(lambda connection: queries.heads(connection, topics))

    def _children_advanced(self, parent_ids: set[str]) -> None:
        self._watchman.children_advanced(parent_ids)

    def _runs_removed(self) -> None:
        self._watchman.runs_removed()

    def _agents_wanted(self) -> None:
        self._runners.wake()
        self._desk.wake()

    async def _listen(self) -> None:
        """Hear of what other replicas have stored for the agents that are connected here."""
        subscription = self._hub.subscribe(AGENTS_TOPIC)
        try:
            while True:
                if subscription.must_read:
                    subscription.must_read = False
                    self._agents_wanted()
                else:
                    await subscription.news()
        finally:
            subscription.close()

    def _is_watched(self, topic: str) -> bool:
        return self._is_lossy or self._hub.is_watched(topic)


def _seed(database: Database) -> None:
    """Make the head of the list, unless it is there."""
    head = {"head_id": 1, "position": 0, "first_position": 1}
    with database.writing() as connection:
        connection.execute(upsert(connection, tables.LIST_HEAD, only=()), [head])


def _timings(settings: Settings) -> Timings:
    return Timings(
        missed_beats=settings.disconnected_after_missed,
        stalled_after_ms=round(settings.stalled_after * 1000),
        never_started_after_ms=round(settings.never_started_after * 1000),
        seal_after_ms=round(settings.seal_after * 1000),
    )
