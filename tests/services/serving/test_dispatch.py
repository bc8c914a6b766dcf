import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.rpc import error_details_pb2

from support.serving import (
    ADMIN,
    KEY,
    RunsServiceWith,
    bearer,
    info_in,
    served,
    status_in,
    told,
    violations_in,
)
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_serving.calls import Call, parse
from trackside_serving.errors import InvalidFieldError, RunNotFoundError, StoreUnavailableError
from trackside_serving.identity import Caller, Role
from trackside_serving.starting import ServiceIncompleteError
from trackside_serving.tokens import TokenSigner

GET = "/trackside.runs.v1.RunsService/GetRun"
LIST = "/trackside.runs.v1.RunsService/ListRuns"
WATCH = "/trackside.runs.v1.RunsService/WatchRun"
REPORT = "/trackside.runs.v1.RunsService/ReportRun"
GARBAGE = b"\xff\xff\xff\xff"
INSIDE = "secret /srv/db password=hunter2"


async def get_run(
    request: runs_service_pb2.GetRunRequest, _call: Call
) -> runs_service_pb2.GetRunResponse:
    return runs_service_pb2.GetRunResponse(run=run_pb2.Run(run_id=request.run_id))


async def count_to_three(
    _request: runs_service_pb2.WatchRunRequest, _call: Call
) -> AsyncIterator[bytes]:
    for cursor in "123":
        yield runs_service_pb2.WatchRunResponse(cursor=cursor).SerializeToString()


async def echo(requests: AsyncIterator[bytes], _call: Call) -> AsyncIterator[bytes]:
    async for data in requests:
        parse(runs_service_pb2.ReportRunRequest, data)
        yield data


async def fail(_request: object, _call: Call) -> bytes:
    raise RuntimeError(INSIDE)


async def fail_in_stream(_request: object, _call: Call) -> AsyncIterator[bytes]:
    yield b""
    raise RuntimeError(INSIDE)


ECHO = RunsServiceWith({"GetRun": get_run, "WatchRun": count_to_three, "ReportRun": echo})


async def read_all(call: AsyncIterable[bytes]) -> list[bytes]:
    return [data async for data in call]


async def feed(call: "grpc.aio.StreamStreamCall[bytes, bytes]", data: bytes) -> None:
    await call.write(data)
    await call.done_writing()


async def test_a_unary_call_is_answered() -> None:
    request = runs_service_pb2.GetRunRequest(run_id="r1").SerializeToString()

    async with served(ECHO) as s:
        data = await s.one(GET)(request, metadata=bearer())

    assert runs_service_pb2.GetRunResponse.FromString(data).run.run_id == "r1"


async def test_a_stream_is_answered_in_order() -> None:
    async with served(ECHO) as s:
        answers = await read_all(s.stream(WATCH)(b"", metadata=bearer()))

    cursors = [runs_service_pb2.WatchRunResponse.FromString(a).cursor for a in answers]
    assert cursors == ["1", "2", "3"]


async def test_a_conversation_gets_the_bytes_as_they_came() -> None:
    message = runs_service_pb2.ReportRunRequest().SerializeToString() + b"\xc2\x3e\x01\x7a"

    async with served(ECHO) as s:
        call = s.converse(REPORT)(metadata=bearer())
        await feed(call, message)
        answers = await read_all(call)

    assert answers == [message]


@pytest.mark.parametrize("path", [GET, WATCH])
async def test_malformed_bytes_of_one_request_are_an_invalid_argument(path: str) -> None:
    async with served(ECHO) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(s.stream(path)(GARBAGE, metadata=bearer()))

    assert told(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "DecodeError" not in str(caught.value)


async def test_malformed_bytes_in_a_conversation_are_an_invalid_argument() -> None:
    async with served(ECHO) as s:
        call = s.converse(REPORT)(metadata=bearer())
        await feed(call, GARBAGE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(call)

    assert told(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


@pytest.mark.parametrize(
    ("path", "handlers"),
    [
        (GET, {"GetRun": fail}),
        (WATCH, {"WatchRun": fail_in_stream}),
        (REPORT, {"ReportRun": fail_in_stream}),
    ],
)
async def test_the_text_of_an_exception_stays_in_the_log(
    path: str, handlers: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with served(RunsServiceWith(handlers)) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(s.stream(path)(b"", metadata=bearer()))

    error = caught.value
    assert told(error) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in str(error)
    assert b"hunter2" not in status_in(error).SerializeToString()
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert vars(record)["error_id"] == info_in(error).metadata["error_id"]
    assert record.exc_info
    assert INSIDE in str(record.exc_info[1])


async def test_an_escaped_cancellation_is_an_internal_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def await_cancelled(_request: object, _call: Call) -> bytes:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    async with served(RunsServiceWith({"GetRun": await_cancelled})) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(GET)(b"", metadata=bearer())

    assert told(caught.value) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "a call failed" in caplog.text


async def test_a_service_error_is_told_with_its_fields() -> None:
    async def refuse(_request: object, _call: Call) -> bytes:
        raise InvalidFieldError.of("run.name", "longer than 256 characters")

    async with served(RunsServiceWith({"GetRun": refuse})) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(GET)(b"", metadata=bearer())

    assert told(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert violations_in(caught.value) == {"run.name": "longer than 256 characters"}


async def test_foreign_errors_are_translated_by_their_nearest_base() -> None:
    class DatabaseError(Exception):
        pass

    class DatabaseLockedError(DatabaseError):
        pass

    async def refuse(_request: object, _call: Call) -> bytes:
        raise DatabaseLockedError(INSIDE)

    def translate(_error: DatabaseError) -> StoreUnavailableError:
        return StoreUnavailableError()

    translations: dict[type[Exception], Any] = {DatabaseError: translate}

    async with served(RunsServiceWith({"GetRun": refuse}), translations=translations) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(GET)(b"", metadata=bearer())

    assert told(caught.value) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    retry = error_details_pb2.RetryInfo()
    assert status_in(caught.value).details[1].Unpack(retry)


async def test_absent_and_hidden_runs_get_the_same_answer() -> None:
    async def refuse(_request: object, _call: Call) -> bytes:
        raise RunNotFoundError

    async with served(RunsServiceWith({"GetRun": refuse})) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(GET)(b"", metadata=bearer())

    assert told(caught.value) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert caught.value.details() == "There is no such run."


@pytest.mark.parametrize(
    ("path", "metadata"),
    [
        pytest.param(GET, bearer(), id="refused by the implementation"),
        pytest.param(GET, (), id="without a token"),
        pytest.param(GET, bearer(Caller("agent-1", Role.AGENT)), id="without the right"),
        pytest.param("/trackside.runs.v1.RunsService/DropRuns", bearer(), id="unknown method"),
    ],
)
async def test_every_refusal_carries_the_name_of_its_call(
    path: str, metadata: tuple[tuple[str, str], ...]
) -> None:
    async def refuse(_request: object, _call: Call) -> bytes:
        raise RunNotFoundError

    async with served(RunsServiceWith({"GetRun": refuse})) as s:
        with pytest.raises(grpc.aio.AioRpcError) as named:
            await s.one(path)(b"", metadata=(*metadata, ("x-request-id", "mine-7")))
        with pytest.raises(grpc.aio.AioRpcError) as unnamed:
            await s.one(path)(b"", metadata=metadata)

    assert dict(named.value.trailing_metadata())["x-request-id"] == "mine-7"
    assert dict(unnamed.value.trailing_metadata())["x-request-id"]


FORGED = f"Bearer {TokenSigner(Ed25519PrivateKey.generate()).mint(ADMIN, timedelta(hours=1))}"
EXPIRED = f"Bearer {TokenSigner(KEY, clock=lambda: 0).mint(ADMIN, timedelta(hours=1))}"
GOOD = bearer()[0][1]


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer nonsense"),),
        (("authorization", GOOD.removeprefix("Bearer ")),),
        (("authorization", GOOD.replace("Bearer", "Basic")),),
        (("authorization", GOOD[:-4] + "AAAA"),),
        (("authorization", GOOD + " x"),),
        (("authorization", FORGED),),
        (("authorization", EXPIRED),),
        (("authorization", GOOD), ("authorization", GOOD)),
        (("x-authorization", GOOD),),
    ],
)
@pytest.mark.parametrize("path", [GET, WATCH, REPORT, "/trackside.runs.v1.RunsService/DropRuns"])
async def test_without_one_valid_token_every_method_is_refused_alike(
    path: str, metadata: tuple[tuple[str, str], ...]
) -> None:
    async with served(ECHO) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(s.stream(path)(GARBAGE, metadata=metadata))

    assert told(caught.value) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED")
    assert caught.value.details() == (
        "A valid token is needed, sent as `authorization: Bearer TOKEN`."
    )


async def test_an_unknown_method_is_unimplemented() -> None:
    async with served(ECHO) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one("/trackside.runs.v1.RunsService/DropRuns")(GARBAGE, metadata=bearer())

    assert told(caught.value) == (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")


async def test_a_role_without_the_right_is_refused_before_its_bytes_are_read() -> None:
    async with served(ECHO) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(LIST)(GARBAGE, metadata=bearer(Caller("agent-1", Role.AGENT)))

    assert told(caught.value) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


async def test_the_implementation_knows_its_caller_and_deadline() -> None:
    calls: list[Call] = []

    async def note(_request: object, call: Call) -> bytes:
        calls.append(call)
        return b""

    caller = Caller("bob", Role.USER, projects=frozenset({"default"}))
    async with served(RunsServiceWith({"GetRun": note})) as s:
        await s.one(GET)(b"", metadata=bearer(caller), timeout=20)
        await s.one(GET)(b"", metadata=bearer(caller), timeout=10_000_000)

    assert [call.caller for call in calls] == [caller, caller]
    assert calls[0].method == GET
    assert calls[0].peer.startswith("ipv4:127.0.0.1:")
    assert (calls[0].time_remaining() or 0) <= 21
    assert (calls[1].time_remaining() or 0) <= 3600


async def test_a_caller_that_goes_away_closes_the_iterator() -> None:
    closed = asyncio.Event()

    async def wait_for_ever(_request: object, _call: Call) -> AsyncIterator[bytes]:
        try:
            yield b""
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with served(RunsServiceWith({"WatchRun": wait_for_ever})) as s:
        call = s.stream(WATCH)(b"", metadata=bearer())
        await call.read()
        call.cancel()
        await closed.wait()


async def test_a_caller_that_goes_away_in_the_midst_of_a_write_closes_the_iterator() -> None:
    closed, written = asyncio.Event(), [0]

    async def flood(_request: object, _call: Call) -> AsyncIterator[bytes]:
        try:
            while True:
                written[0] += 1
                yield b"x" * 65536
        finally:
            closed.set()

    async def held_back() -> None:
        """Wait until no more is written: some time the line is full."""
        before = 0
        while written[0] != before:
            before = written[0]
            await asyncio.sleep(0.1)

    async with served(RunsServiceWith({"WatchRun": flood})) as s:
        call = s.stream(WATCH)(b"", metadata=bearer())
        await call.read()
        await held_back()
        call.cancel()
        await closed.wait()


async def test_requests_end_when_the_caller_goes_away() -> None:
    ended = asyncio.Event()

    async def listen(requests: AsyncIterator[bytes], _call: Call) -> AsyncIterator[bytes]:
        try:
            async for _ in requests:
                yield b""
        finally:
            ended.set()

    async with served(RunsServiceWith({"ReportRun": listen})) as s:
        call = s.converse(REPORT)(metadata=bearer())
        await call.write(b"")
        await call.read()
        call.cancel()
        await ended.wait()


def test_a_service_that_lacks_a_method_is_refused_at_the_start() -> None:
    incomplete = RunsServiceWith()
    incomplete.handlers = {k: v for k, v in incomplete.handlers.items() if k != "KillRun"}

    with pytest.raises(ServiceIncompleteError, match=r"RunsService: .* KillRun"):
        asyncio.run(_start(incomplete))


async def _start(service: RunsServiceWith) -> None:
    async with served(service):
        pass
