import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2

from support.serving import RunsServiceWith, Served, bearer, info_in, served, status_in, told
from trackside_serving.calls import Call
from trackside_serving.identity import Caller, Role

GET = "/trackside.runs.v1.RunsService/GetRun"
LIST = "/trackside.runs.v1.RunsService/ListRuns"
WATCH = "/trackside.runs.v1.RunsService/WatchRun"
REPORT = "/trackside.runs.v1.RunsService/ReportRun"
TOO_MANY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")


class Gate:
    """Holds every call until it is opened."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.opened = asyncio.Event()
        self.closed = asyncio.Semaphore(0)

    async def answer(self, _request: object, _call: Call) -> bytes:
        self.entered.release()
        await self.opened.wait()
        return b""

    async def watch(self, _request: object, call: Call) -> AsyncIterator[bytes]:
        try:
            call.resume_cursor = "cursor-1"
            yield b""
            self.entered.release()
            await self.opened.wait()
        finally:
            self.closed.release()

    async def flood(self, _request: object, call: Call) -> AsyncIterator[bytes]:
        try:
            while True:
                call.resume_cursor = "cursor-7"
                yield b"x" * 65536
        finally:
            self.closed.release()

    async def listen(self, requests: AsyncIterator[bytes], _call: Call) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield b""


async def refused(call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> grpc.aio.AioRpcError:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError


async def open_watch(s: Served, caller: Caller) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
    call = s.stream(WATCH)(b"", metadata=bearer(caller))
    await call.read()
    return call


async def test_calls_beyond_the_room_are_refused_at_once_and_control_calls_are_not() -> None:
    gate = Gate()

    async def get(_request: object, _call: Call) -> bytes:
        return b""

    service = RunsServiceWith({"ListRuns": gate.answer, "GetRun": get})
    async with served(service, unary_limit=2) as s:
        waiting = [s.one(LIST)(b"", metadata=bearer()) for _ in range(2)]
        for _ in waiting:
            await gate.entered.acquire()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(LIST)(b"", metadata=bearer())
        assert await s.one(GET)(b"", metadata=bearer()) == b""
        gate.opened.set()
        assert [await call for call in waiting] == [b"", b""]
        assert await s.one(LIST)(b"", metadata=bearer()) == b""

    assert told(caught.value) == TOO_MANY
    retry = error_details_pb2.RetryInfo()
    assert status_in(caught.value).details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


async def test_one_caller_has_a_limit_of_streams_and_another_has_its_own() -> None:
    gate, ada, bob = Gate(), Caller("ada", Role.USER), Caller("bob", Role.USER)

    async with served(RunsServiceWith({"WatchRun": gate.watch}), caller_stream_limit=2) as s:
        first = await open_watch(s, ada)
        await open_watch(s, ada)
        error = await refused(s.stream(WATCH)(b"", metadata=bearer(ada)))
        await open_watch(s, bob)
        first.cancel()
        await gate.closed.acquire()
        await open_watch(s, ada)

    assert told(error) == TOO_MANY


async def test_two_tokens_of_reporters_do_not_share_their_streams() -> None:
    gate = Gate()
    callers = [Caller("ada", Role.REPORTER, run_ids=frozenset({run})) for run in ("r1", "r2")]

    async with served(RunsServiceWith({"WatchRun": gate.watch}), caller_stream_limit=1) as s:
        for caller in callers:
            await open_watch(s, caller)


async def test_services_may_have_every_stream_there_is() -> None:
    gate, service = Gate(), Caller("logs", Role.SERVICE)

    async with served(
        RunsServiceWith({"WatchRun": gate.watch}), caller_stream_limit=1, stream_limit=3
    ) as s:
        for _ in range(3):
            await open_watch(s, service)
        error = await refused(s.stream(WATCH)(b"", metadata=bearer(service)))

    assert told(error) == TOO_MANY


async def test_a_stream_that_is_not_read_is_ended_with_its_cursor() -> None:
    gate = Gate()

    async with served(RunsServiceWith({"WatchRun": gate.flood}), slow_consumer_after=0.3) as s:
        call = await open_watch(s, Caller("ada", Role.ADMIN))
        await gate.closed.acquire()
        error = await refused(call)

    assert told(error) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_CONSUMER")
    assert info_in(error).metadata["cursor"] == "cursor-7"


async def test_a_slow_caller_that_goes_away_leaves_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()

    async with served(
        RunsServiceWith({"WatchRun": gate.flood}), slow_consumer_after=0.3, stream_limit=1
    ) as s:
        call = await open_watch(s, Caller("ada", Role.ADMIN))
        await gate.closed.acquire()
        call.cancel()
        while len(s.server.open_calls):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_stream_with_nothing_to_say_is_not_slow() -> None:
    gate, bystander = Gate(), Gate()
    service = RunsServiceWith({"WatchRun": gate.watch, "WatchRuns": bystander.flood})

    async with served(service, slow_consumer_after=0.3) as s:
        call = await open_watch(s, Caller("ada", Role.ADMIN))
        await gate.entered.acquire()
        flooded = s.stream("/trackside.runs.v1.RunsService/WatchRuns")(b"", metadata=bearer())
        await bystander.closed.acquire()  # meanwhile a slow one came and was ended
        gate.opened.set()
        assert await call.read() is grpc.aio.EOF
        flooded.cancel()


async def test_a_silent_conversation_is_ended() -> None:
    gate = Gate()

    async with served(RunsServiceWith({"ReportRun": gate.listen}), stream_idle_after=2) as s:
        call = s.converse(REPORT)(metadata=bearer())
        await call.write(b"")
        assert await call.read() == b""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    assert told(caught.value) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")
