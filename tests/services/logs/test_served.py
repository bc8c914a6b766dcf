from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from support.logs import (
    ANN,
    BOB,
    ON_SQLITE,
    REPORTER,
    Logs,
    RunLogs,
    make_batch,
    make_entry,
    numbered,
)
from support.serving import Served, bearer, info_in, served, told, violations_in
from trackside_protos.logs.v1 import logs_service_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_serving.identity import Caller

SERVICE = "/trackside.logs.v1.LogsService"
RUN_ID = "0123456789abcdef"


@pytest.fixture
async def logs(run_logs: RunLogs) -> AsyncIterator[Logs]:
    async with run_logs() as running:
        yield running


@pytest.fixture
async def server(logs: Logs) -> AsyncIterator[Served]:
    async with served(logs.service) as running:
        yield running


async def append(server: Served, *batches: bytes, caller: Caller = REPORTER) -> int:
    call = server.converse(f"{SERVICE}/AppendLogs")(metadata=bearer(caller))
    for batch in batches:
        await call.write(batch)
    await call.done_writing()
    through = 0
    async for raw in call:
        response = logs_service_pb2.AppendLogsResponse.FromString(raw)
        through = response.acknowledgement.through_sequence
    return through


def watch(
    server: Served, start: watch_start_pb2.WatchStart, caller: Caller = ANN
) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
    request = logs_service_pb2.WatchLogsRequest(run_id=RUN_ID, start=start)
    return server.stream(f"{SERVICE}/WatchLogs")(
        request.SerializeToString(), metadata=bearer(caller)
    )


@ON_SQLITE
async def test_what_a_producer_sends_a_watcher_and_a_listing_get(server: Served) -> None:
    beginning = watch_start_pb2.WatchStart(position=watch_start_pb2.WATCH_POSITION_BEGINNING)
    call = watch(server, beginning)
    await append(server, *(make_batch(n) for n in range(1, 21)))

    watched: list[str] = []
    cursor = ""
    async for raw in call:
        response = logs_service_pb2.WatchLogsResponse.FromString(raw)
        watched += [entry.message for _, entry in numbered(response.blocks)]
        cursor = response.cursor
        if len(watched) == 20:
            break
    call.cancel()
    raw = await server.one(f"{SERVICE}/ListLogs")(
        logs_service_pb2.ListLogsRequest(run_id=RUN_ID).SerializeToString(), metadata=bearer(ANN)
    )

    listed = logs_service_pb2.ListLogsResponse.FromString(raw)
    assert watched == [entry.message for _, entry in numbered(listed.blocks)]
    assert cursor


@ON_SQLITE
async def test_a_refused_batch_ends_the_stream_with_its_field_and_number(server: Served) -> None:
    wrong = make_batch(2, [make_entry(), make_entry("x" * 65_537)])

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await append(server, make_batch(1), wrong)

    assert told(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert violations_in(caught.value) == {"entries[1].message": "longer than 65536 bytes"}
    assert info_in(caught.value).metadata["batch_sequence"] == "2"


@ON_SQLITE
async def test_bytes_that_are_no_batch_are_malformed(server: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await append(server, b"\xff\xff\xff\xff")

    assert told(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


@ON_SQLITE
async def test_a_run_of_somebody_else_is_not_found(server: Served) -> None:
    for call in (
        append(server, make_batch(1), caller=BOB),
        watch(server, watch_start_pb2.WatchStart(), BOB).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert told(caught.value) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


@ON_SQLITE
async def test_a_page_with_everything_it_may_hold_fits_in_a_message(server: Served) -> None:
    await append(server, make_batch(1, [make_entry("x" * 65_536) for _ in range(200)]))

    raw = await server.one(f"{SERVICE}/ListLogs")(
        logs_service_pb2.ListLogsRequest(run_id=RUN_ID, page_size=10_000).SerializeToString(),
        metadata=bearer(ANN),
    )

    assert 1 << 20 < len(raw) < 4 << 20
