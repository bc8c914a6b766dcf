import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from support.private_server import free_port
from support.serving import ADMIN, SIGNER, RunsServiceWith, Served, served
from trackside_protos.runs.v1.runs_service_pb2 import (
    ConfirmDeletionRequest,
    ConfirmDeletionResponse,
    WatchRunDirectoryRequest,
    WatchRunDirectoryResponse,
    WatchRunRequest,
    WatchRunResponse,
)
from trackside_serving.calls import Call
from trackside_serving.errors import (
    CursorExpiredError,
    InternalError,
    InvalidFieldError,
    RunNotFoundError,
    ServiceError,
    ServiceUnreachableError,
    ShuttingDownError,
    TokenRefusedError,
)
from trackside_serving.identity import Caller, Role
from trackside_serving.remote import RemoteServer

WATCH_RUN = "/trackside.runs.v1.RunsService/WatchRun"
CONFIRM_DELETION = "/trackside.runs.v1.RunsService/ConfirmDeletion"
WATCH_DIRECTORY = "/trackside.runs.v1.RunsService/WatchRunDirectory"
SERVICE = Caller("service-logs", Role.SERVICE)


def token(caller: Caller) -> str:
    return SIGNER.mint(caller, timedelta(hours=1))


def call_of(caller: Caller) -> Call:
    return Call(caller, token=token(caller))


@asynccontextmanager
async def remote_to(port: int) -> AsyncGenerator[RemoteServer]:
    remote = RemoteServer(f"127.0.0.1:{port}", token=lambda: token(SERVICE))
    try:
        yield remote
    finally:
        await remote.close()


@asynccontextmanager
async def watched(
    watch: Callable[[WatchRunRequest, Call], AsyncIterator[bytes]],
) -> AsyncGenerator[tuple[Served, RemoteServer]]:
    async with (
        served(RunsServiceWith({"WatchRun": watch})) as server,
        remote_to(server.port) as remote,
    ):
        yield server, remote


async def test_a_stream_comes_through_as_the_bytes_it_was() -> None:
    async def watch(request: WatchRunRequest, _call: Call) -> AsyncGenerator[bytes]:
        for number in range(3):
            yield WatchRunResponse(cursor=f"{request.run_id}-{number}").SerializeToString()

    async with watched(watch) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(run_id="r"), call_of(ADMIN))
        cursors = [WatchRunResponse.FromString(data).cursor async for data in stream]

    assert cursors == ["r-0", "r-1", "r-2"]


async def test_the_other_server_sees_the_caller_itself() -> None:
    seen: list[Caller] = []

    async def watch(_request: WatchRunRequest, call: Call) -> AsyncGenerator[bytes]:
        seen.append(call.caller)
        yield b""

    reporter = Caller("run", Role.REPORTER, run_ids=frozenset({"r"}))
    async with watched(watch) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call_of(reporter))
        async for _ in stream:
            pass

    assert seen == [reporter]


async def test_a_call_for_ourselves_is_made_with_the_service_token() -> None:
    seen: list[Caller] = []

    async def watch(_request: WatchRunDirectoryRequest, call: Call) -> AsyncGenerator[bytes]:
        seen.append(call.caller)
        yield WatchRunDirectoryResponse(cursor="c").SerializeToString()

    service = RunsServiceWith({"WatchRunDirectory": watch})
    async with served(service) as server, remote_to(server.port) as remote:
        stream = remote.stream_for_service(WATCH_DIRECTORY, WatchRunDirectoryResponse)
        responses = [response async for response in stream(WatchRunDirectoryRequest())]

    assert seen == [SERVICE]
    assert [response.cursor for response in responses] == ["c"]


async def test_a_call_with_one_answer_is_made_for_ourselves() -> None:
    seen: list[Caller] = []

    async def confirm(request: ConfirmDeletionRequest, call: Call) -> ConfirmDeletionResponse:
        seen.append(call.caller)
        if not request.run_ids:
            raise InvalidFieldError.of("run_ids", "are none")
        return ConfirmDeletionResponse()

    service = RunsServiceWith({"ConfirmDeletion": confirm})
    async with served(service) as server, remote_to(server.port) as remote:
        call = remote.call_for_service(CONFIRM_DELETION, ConfirmDeletionResponse)
        await call(ConfirmDeletionRequest(service="logs", run_ids=["r"]))
        with pytest.raises(InvalidFieldError):
            await call(ConfirmDeletionRequest(service="logs"))

    assert seen == [SERVICE, SERVICE]


async def test_a_call_to_a_server_that_is_away_says_so() -> None:
    async with remote_to(free_port()) as remote:
        call = remote.call_for_service(CONFIRM_DELETION, ConfirmDeletionResponse)
        with pytest.raises(ServiceUnreachableError):
            await call(ConfirmDeletionRequest(service="logs"))


@pytest.mark.parametrize(
    "error",
    [
        RunNotFoundError(),
        TokenRefusedError(),
        InternalError("0123"),
        InvalidFieldError.of("start.last", "not 0 to 100000"),
        CursorExpiredError(metadata={"earliest": "e", "latest": "l"}),
        ServiceUnreachableError(retry_after=2.5),
    ],
    ids=lambda error: error.reason,
)
async def test_an_error_of_the_other_server_is_raised_as_it_was(error: ServiceError) -> None:
    async def watch(_request: WatchRunRequest, _call: Call) -> AsyncGenerator[bytes]:
        raise error
        yield b""

    async with watched(watch) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call_of(ADMIN))
        with pytest.raises(type(error)) as caught:
            await anext(stream)

    raised = caught.value
    assert (raised.message, raised.metadata) == (error.message, error.metadata)
    assert (raised.violations, raised.retry_after) == (error.violations, error.retry_after)


async def test_a_server_that_nobody_answers_for_is_unreachable() -> None:
    async with remote_to(free_port()) as remote:
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call_of(ADMIN))
        with pytest.raises(ServiceUnreachableError):
            await anext(stream)


async def test_the_cursor_of_the_other_stream_is_not_passed_on() -> None:
    async def watch(_request: WatchRunRequest, call: Call) -> AsyncGenerator[bytes]:
        call.resume_cursor = "of the other stream"
        yield b""
        raise ShuttingDownError

    async with watched(watch) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call_of(ADMIN))
        await anext(stream)
        with pytest.raises(ShuttingDownError) as caught:
            await anext(stream)

    assert caught.value.metadata == {}


class Endless:
    """A watch that gives one response and then waits until it is ended."""

    def __init__(self) -> None:
        self.has_ended = asyncio.Event()

    async def __call__(self, _request: WatchRunRequest, _call: Call) -> AsyncGenerator[bytes]:
        try:
            yield b""
            await asyncio.Event().wait()
        finally:
            self.has_ended.set()


async def test_leaving_a_stream_ends_it_at_the_other_server() -> None:
    watch = Endless()

    async with watched(watch) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call_of(ADMIN))
        await anext(stream)
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()
        await watch.has_ended.wait()


async def test_a_stream_ends_when_our_own_server_goes_down() -> None:
    call = call_of(ADMIN)

    async with watched(Endless()) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call)
        await anext(stream)
        call.draining.set()
        with pytest.raises(ShuttingDownError):
            await anext(stream)


async def test_cancelling_who_waits_is_no_error_of_the_other_server() -> None:
    async with watched(Endless()) as (_, remote):
        stream = remote.stream_for_caller(WATCH_RUN)(WatchRunRequest(), call_of(ADMIN))
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting


def test_a_call_does_not_show_its_token() -> None:
    assert "secret" not in repr(Call(ADMIN, token="secret"))  # noqa: S106 - a made-up one
