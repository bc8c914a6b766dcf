"""Builders for tests of the metrics service: blocks, batches, and calls of its methods."""

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, NullPool, create_engine, select, text, update

from support.conditions import until
from support.run_directory import RunDirectoryStandIn
from trackside_metrics.bootstrap import MetricsService
from trackside_metrics.tables import CHUNK
from trackside_protos.metrics.v1 import metrics_service_pb2, series_pb2
from trackside_protos.producers.v1 import batch_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_serving.calls import Call
from trackside_serving.identity import Caller, Role

RUN_ID = "0123456789abcdef"
SERVER_ID = "zzzzzzzzzzzzzzzz"
REPORTER = Caller("run", Role.REPORTER, run_ids=frozenset({RUN_ID}))
ANN = Caller("ann", Role.USER)
BOB = Caller("bob", Role.USER)

PointBlock = series_pb2.PointBlock
SeriesFilter = metrics_service_pb2.SeriesFilter
ListSeriesRequest = metrics_service_pb2.ListSeriesRequest
QueryPointsRequest = metrics_service_pb2.QueryPointsRequest


def make_block(
    key: str = "loss",
    values: Iterable[float] = (1.0,),
    *,
    first_step: int = 0,
    steps: Iterable[int] | None = None,
    times: Iterable[int] | None = None,
    **context: str,
) -> PointBlock:
    values = list(values)
    steps = list(range(first_step, first_step + len(values)) if steps is None else steps)
    times = [1_700_000_000_000 + 100 * step for step in steps] if times is None else times
    return PointBlock(key=key, context=context, steps=steps, times_millis=times, values=values)


def make_batch(
    sequence: int,
    blocks: Iterable[PointBlock] | None = None,
    *,
    producer_id: str = "sdk-1",
    epoch: int = 1,
    run_id: str = RUN_ID,
) -> bytes:
    return metrics_service_pb2.AppendMetricsRequest(
        batch=batch_pb2.Batch(
            run_id=run_id, producer_id=producer_id, epoch=epoch, sequence=sequence
        ),
        blocks=[make_block(first_step=sequence)] if blocks is None else blocks,
    ).SerializeToString()


def batches(*contents: Iterable[PointBlock]) -> Iterator[bytes]:
    """Yield batches of one producer with these blocks."""
    for sequence, blocks in enumerate(contents, 1):
        yield make_batch(sequence, blocks)


def training_steps(count: int, *, keys: int = 5) -> Iterator[bytes]:
    """Yield one batch a step, with a block of one point for each key."""
    for step in range(count):
        blocks = [
            make_block(f"metric_{key}", [key + step / 7], first_step=step) for key in range(keys)
        ]
        yield make_batch(step + 1, blocks)


async def each(requests: Iterable[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


def read_levels(connection: Connection) -> list[tuple[int, int]]:
    """Return the level and the number of points of each row, in order."""
    rows = connection.execute(
        select(CHUNK.c.level, CHUNK.c.points).order_by(CHUNK.c.last_sequence, CHUNK.c.series_id)
    )
    return [(row.level, row.points) for row in rows]


@dataclass(slots=True)
class Metrics:
    """A metrics service and the directory it follows."""

    service: MetricsService
    directory: RunDirectoryStandIn
    acknowledged: list[batch_pb2.Acknowledgement] = field(
        default_factory=list[batch_pb2.Acknowledgement]
    )

    @property
    def is_sealed(self) -> bool:
        entry = self.service.directory.known(RUN_ID)
        return entry is not None and entry.sealed

    @property
    def owner(self) -> str:
        entry = self.service.directory.known(RUN_ID)
        return "" if entry is None else entry.owner

    async def seal(self) -> None:
        await self.directory.put(RUN_ID, sealed=True)
        await until(lambda: self.is_sealed)

    async def append(self, requests: Iterable[bytes], caller: Caller = REPORTER) -> int:
        """Send batches over one stream and return through which everything is stored."""
        through = 0
        async for raw in self.service.servicer.append_metrics(each(requests), Call(caller)):
            response = metrics_service_pb2.AppendMetricsResponse.FromString(raw)
            self.acknowledged.append(response.acknowledgement)
            through = response.acknowledgement.through_sequence
        return through

    async def list_page(
        self, request: ListSeriesRequest | None = None, caller: Caller = ANN
    ) -> metrics_service_pb2.ListSeriesResponse:
        request = request or ListSeriesRequest()
        request.run_id = request.run_id or RUN_ID
        return await self.service.servicer.list_series(request, Call(caller))

    async def list_series(
        self, request: ListSeriesRequest | None = None
    ) -> list[series_pb2.Series]:
        """Return all series, page by page."""
        request = request or ListSeriesRequest()
        page = await self.list_page(request)
        found = list(page.series)
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = await self.list_page(request)
            found += page.series
        return found

    async def query(
        self, request: QueryPointsRequest | None = None, caller: Caller = ANN
    ) -> list[metrics_service_pb2.SeriesPoints]:
        request = request or QueryPointsRequest()
        request.run_id = request.run_id or RUN_ID
        raw = await self.service.servicer.query_points(request, Call(caller))
        return list(metrics_service_pb2.QueryPointsResponse.FromString(raw).series)

    async def blocks(self, caller: Caller = ANN) -> list[PointBlock]:
        """Return all stored blocks, as a watch from the beginning sends them."""
        watcher = Watcher(self, watch_request(beginning=True), caller)
        await watcher.catch_up()
        return watcher.blocks

    async def merge(self, *, enough: int = 2, is_final: bool = False) -> None:
        await self.service.merger.merge(RUN_ID, enough=enough, is_final=is_final)

    async def levels(self) -> list[tuple[int, int]]:
        """Return the level and the number of points of each row of the store."""
        return await self.service.database.read(read_levels)

    def damage(self, sequence: int) -> None:
        """Change a byte of what is stored of a block."""
        c = CHUNK.c
        covers = (c.first_sequence <= sequence) & (c.last_sequence >= sequence)
        with self._intruding() as connection:
            for row in connection.execute(select(CHUNK).where(covers)).all():
                blob = bytearray(row.blob)
                blob[len(blob) // 2] ^= 1
                connection.execute(
                    update(CHUNK)
                    .where(
                        c.run_id == row.run_id,
                        c.last_sequence == row.last_sequence,
                        c.series_id == row.series_id,
                    )
                    .values(blob=bytes(blob))
                )

    @contextmanager
    def _intruding(self) -> Generator[Connection]:
        """Give a connection of our own, as nobody but the committer may use its own."""
        database = self.service.database
        engine = create_engine(database._writer.url, poolclass=NullPool)
        with engine.begin() as connection:
            if not database.is_sqlite:
                connection.execute(text("set search_path to metrics"))
            yield connection


RunMetrics = Callable[..., AbstractAsyncContextManager[Metrics]]


def watch_request(
    *,
    cursor: str = "",
    last: int | None = None,
    beginning: bool = False,
    series: SeriesFilter | None = None,
) -> metrics_service_pb2.WatchMetricsRequest:
    request = metrics_service_pb2.WatchMetricsRequest(run_id=RUN_ID, filter=series)
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

    metrics: Metrics
    request: metrics_service_pb2.WatchMetricsRequest
    caller: Caller = ANN
    call: Call = field(init=False)
    responses: list[metrics_service_pb2.WatchMetricsResponse] = field(
        default_factory=list[metrics_service_pb2.WatchMetricsResponse]
    )

    def __post_init__(self) -> None:
        self.call = Call(self.caller)

    async def follow(self) -> None:
        await self._take(lambda _: False)

    async def catch_up(self) -> None:
        await self._take(lambda response: response.caught_up)

    async def _take(
        self, is_enough: Callable[[metrics_service_pb2.WatchMetricsResponse], bool]
    ) -> None:
        stream = self.metrics.service.servicer.watch_metrics(self.request, self.call)
        async with aclosing(stream):
            async for raw in stream:
                self.responses.append(metrics_service_pb2.WatchMetricsResponse.FromString(raw))
                if is_enough(self.responses[-1]):
                    return

    @property
    def blocks(self) -> list[PointBlock]:
        return [block for response in self.responses for block in response.blocks]

    @property
    def sequences(self) -> list[int]:
        return [block.sequence for block in self.blocks]

    @property
    def caught_up(self) -> bool:
        return any(response.caught_up for response in self.responses)
