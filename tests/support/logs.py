"""Builders for tests of the logs service: entries, batches, and calls of its methods."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection, select

from support.run_directory import RunDirectoryStandIn
from trackside_journal.chunks import Chunk, unpack
from trackside_logs.bootstrap import LogsService
from trackside_logs.tables import CHUNK
from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2
from trackside_protos.producers.v1 import batch_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_serving.calls import Call
from trackside_serving.identity import Caller, Role

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no store can answer differently."""
ON_POSTGRESQL = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
"""For what needs replicas."""

RUN_ID = "0123456789abcdef"
SERVER_ID = "zzzzzzzzzzzzzzzz"
REPORTER = Caller("run", Role.REPORTER, run_ids=frozenset({RUN_ID}))
ANN = Caller("ann", Role.USER)
BOB = Caller("bob", Role.USER)
INFO = log_entry_pb2.LOG_LEVEL_INFO

Entries = list[tuple[int, log_entry_pb2.LogEntry]]


def make_entry(
    message: str = "a line",
    *,
    seconds: int = 1_700_000_000,
    level: "log_entry_pb2.LogLevel.ValueType" = INFO,
    stream: str = "stdout",
    task_id: str = "",
    **context: str,
) -> log_entry_pb2.LogEntry:
    entry = log_entry_pb2.LogEntry(
        level=level, message=message, stream=stream, task_id=task_id, context=context
    )
    entry.time.seconds = seconds
    return entry


def make_batch(
    sequence: int,
    entries: Iterable[log_entry_pb2.LogEntry] | None = None,
    *,
    producer_id: str = "sdk-1",
    epoch: int = 1,
    run_id: str = RUN_ID,
) -> bytes:
    return logs_service_pb2.AppendLogsRequest(
        batch=batch_pb2.Batch(
            run_id=run_id, producer_id=producer_id, epoch=epoch, sequence=sequence
        ),
        entries=[make_entry(f"line of batch {sequence}")] if entries is None else entries,
    ).SerializeToString()


def numbered(blocks: Iterable[log_entry_pb2.LogBlock]) -> Entries:
    """Return the entries of blocks with their sequences."""
    return [
        (block.sequences[index] if block.sequences else block.first_sequence + index, entry)
        for block in blocks
        for index, entry in enumerate(block.entries)
    ]


def read_rows(connection: Connection) -> Entries:
    """Return the entries of the run's own rows in the store."""
    rows = connection.execute(
        select(CHUNK).where(CHUNK.c.run_id == RUN_ID).order_by(CHUNK.c.first_sequence)
    )
    contents = [
        unpack(
            Chunk(row.codec, row.checksum, bytes(row.blob)),
            first=row.first_sequence,
            last=row.last_sequence,
        )
        for row in rows
    ]
    return numbered(logs_service_pb2.WatchLogsResponse.FromString(b"".join(contents)).blocks)


def sequences(entries: Entries) -> list[int]:
    return [sequence for sequence, _ in entries]


def messages(entries: Entries) -> list[str]:
    return [entry.message for _, entry in entries]


async def each(requests: Iterable[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


@dataclass(slots=True)
class Logs:
    """A logs service and the directory it follows."""

    service: LogsService
    directory: RunDirectoryStandIn
    acknowledged: list[batch_pb2.Acknowledgement] = field(
        default_factory=list[batch_pb2.Acknowledgement]
    )

    @property
    def is_sealed(self) -> bool:
        entry = self.service.directory.known(RUN_ID)
        return entry is not None and entry.sealed

    async def append(self, requests: Iterable[bytes], caller: Caller = REPORTER) -> int:
        """Send batches over one stream and return through which everything is stored."""
        through = 0
        async for raw in self.service.servicer.append_logs(each(requests), Call(caller)):
            response = logs_service_pb2.AppendLogsResponse.FromString(raw)
            self.acknowledged.append(response.acknowledgement)
            through = response.acknowledgement.through_sequence
        return through

    async def page(
        self, request: logs_service_pb2.ListLogsRequest | None = None, caller: Caller = ANN
    ) -> logs_service_pb2.ListLogsResponse:
        request = request or logs_service_pb2.ListLogsRequest()
        request.run_id = request.run_id or RUN_ID
        return await self.service.servicer.list_logs(request, Call(caller))

    async def pages(
        self, request: logs_service_pb2.ListLogsRequest | None = None
    ) -> list[logs_service_pb2.ListLogsResponse]:
        """Return every page of a listing."""
        request = request or logs_service_pb2.ListLogsRequest()
        pages = [await self.page(request)]
        while pages[-1].next_page_token:
            request.page_token = pages[-1].next_page_token
            pages.append(await self.page(request))
        return pages

    async def listed(self, request: logs_service_pb2.ListLogsRequest | None = None) -> Entries:
        """Return all entries of a listing, page by page."""
        return [pair for page in await self.pages(request) for pair in numbered(page.blocks)]

    async def stored(self) -> Entries:
        """Return the entries of the store's own rows."""
        return await self.service.database.read(read_rows)


RunLogs = Callable[..., AbstractAsyncContextManager[Logs]]


def watch_request(
    *,
    cursor: str = "",
    last: int | None = None,
    beginning: bool = False,
    log_filter: logs_service_pb2.LogFilter | None = None,
) -> logs_service_pb2.WatchLogsRequest:
    request = logs_service_pb2.WatchLogsRequest(run_id=RUN_ID, filter=log_filter)
    if cursor:
        request.start.cursor = cursor
    elif last is not None:
        request.start.last = last
    elif beginning:
        request.start.position = watch_start_pb2.WATCH_POSITION_BEGINNING
    return request


@dataclass(slots=True)
class Watcher:
    """Collects what a watch sends. Run `follow` as a task, or await it for one that ends."""

    logs: Logs
    request: logs_service_pb2.WatchLogsRequest
    caller: Caller = ANN
    call: Call = field(init=False)
    responses: list[logs_service_pb2.WatchLogsResponse] = field(
        default_factory=list[logs_service_pb2.WatchLogsResponse]
    )

    def __post_init__(self) -> None:
        self.call = Call(self.caller)

    async def follow(self) -> None:
        stream = self.logs.service.servicer.watch_logs(self.request, self.call)
        async with aclosing(stream):
            async for raw in stream:
                self.responses.append(logs_service_pb2.WatchLogsResponse.FromString(raw))

    @property
    def entries(self) -> Entries:
        return [pair for response in self.responses for pair in numbered(response.blocks)]

    @property
    def caught_up(self) -> bool:
        return any(response.caught_up for response in self.responses)

    @property
    def cursors(self) -> Sequence[str]:
        return [response.cursor for response in self.responses]
