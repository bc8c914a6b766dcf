import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from support.serving import VERIFIER, RunsServiceWith, Served, bearer, info_in, served, told
from trackside_protos.servers.v1 import servers_service_pb2
from trackside_serving.calls import Call
from trackside_serving.identity import Caller, Role
from trackside_serving.revocations import Revocation
from trackside_serving.server import Server
from trackside_serving.servers_service import VERSION, Installation
from trackside_serving.settings import Settings
from trackside_serving.starting import PortTakenError, RemoteRefusedError, SettingsError

GET = "/trackside.runs.v1.RunsService/GetRun"
WATCH = "/trackside.runs.v1.RunsService/WatchRun"
REPORT = "/trackside.runs.v1.RunsService/ReportRun"
GET_SERVER = "/trackside.servers.v1.ServersService/GetServer"
CHECK = "/grpc.health.v1.Health/Check"
WATCH_HEALTH = "/grpc.health.v1.Health/Watch"
RUNS = "trackside.runs.v1.RunsService"
GOING_DOWN = (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def answer(_request: object, _call: Call) -> bytes:
    return b""


async def watch_until_drained(_request: object, call: Call) -> AsyncIterator[bytes]:
    call.resume_cursor = "cursor-9"
    yield b""
    await call.draining.wait()


async def watch_for_ever(_request: object, call: Call) -> AsyncIterator[bytes]:
    call.resume_cursor = "cursor-9"
    yield b""
    await asyncio.Event().wait()


def new_server(listen: str, **settings: Path | bool) -> Server:
    return Server(
        [],
        verifier=VERIFIER,
        installation=Installation(server_id="0123456789abcdef", store="none"),
        settings=Settings.model_validate({"listen": listen, **settings}),
    )


async def check(s: Served, name: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    return health_pb2.HealthCheckResponse.FromString(await s.one(CHECK)(request)).status


@pytest.mark.exhaustive
@pytest.mark.parametrize(("size", "accepted"), [(15_000, 20), (17_000, 0)])
async def test_metadata_is_accepted_or_refused_by_its_size_alone(size: int, accepted: int) -> None:
    metadata = (*bearer(), ("x-big", "a" * (size - 400)))
    count = 0

    async with served(RunsServiceWith({"GetRun": answer})) as s:
        for _ in range(20):
            try:
                await s.one(GET)(b"", metadata=metadata)
                count += 1
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - counts

    assert count == accepted


async def test_a_message_above_the_limit_is_refused() -> None:
    async with served(RunsServiceWith({"GetRun": answer})) as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(GET)(bytes((16 << 20) + 1), metadata=bearer())

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_port_that_is_taken_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    async with served() as s:
        other = new_server(f"127.0.0.1:{s.port}")
        with pytest.raises(PortTakenError) as caught:
            await other.start()
        await other.drain_and_stop(grace=0)

    assert str(caught.value) == (
        f"127.0.0.1:{s.port} is taken by another process; set TRACKSIDE_LISTEN to another address"
    )
    assert capfd.readouterr().err == ""


async def test_an_address_of_another_machine_is_told_in_one_line() -> None:
    server = new_server("192.0.2.1:8750", allow_remote=True)

    with pytest.raises(PortTakenError, match="is not an address of this machine"):
        await server.start()
    await server.drain_and_stop(grace=0)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"])
async def test_no_address_that_others_reach_is_listened_at_unless_allowed(listen: str) -> None:
    server = new_server(listen)

    with pytest.raises(RemoteRefusedError, match="TRACKSIDE_ALLOW_REMOTE"):
        await server.start()
    await server.drain_and_stop(grace=0)


async def test_an_allowed_address_is_listened_at() -> None:
    server = new_server("0.0.0.0:0", allow_remote=True)

    assert await server.start() > 0
    await server.drain_and_stop(grace=0)


async def test_with_a_certificate_only_tls_is_spoken(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = new_server("localhost:0", tls_certificate=certificate, tls_key=key)
    port = await server.start()
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())

    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        check_health: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        response = await check_health(b"")
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(CHECK)(b"")
    await server.drain_and_stop(grace=0)

    assert health_pb2.HealthCheckResponse.FromString(response).status == SERVING
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_missing_certificate_is_told_in_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    server = new_server("127.0.0.1:0", tls_certificate=missing, tls_key=missing)

    with pytest.raises(SettingsError, match="TRACKSIDE_TLS_CERTIFICATE"):
        await server.start()
    await server.drain_and_stop(grace=0)


async def test_the_server_tells_what_it_is_and_who_calls() -> None:
    caller = Caller("vera", Role.VIEWER)

    async with served(RunsServiceWith()) as s:
        data = await s.one(GET_SERVER)(b"", metadata=bearer(caller))

    response = servers_service_pb2.GetServerResponse.FromString(data)
    server = response.server
    assert abs(response.current_time.ToSeconds() - time.time()) < 60
    address = f"127.0.0.1:{s.port}"
    assert server == servers_service_pb2.Server(
        server_id="0123456789abcdef",
        version=VERSION,
        addresses={RUNS: address, "trackside.servers.v1.ServersService": address},
        durability=servers_service_pb2.DURABILITY_FULL,
        store="none",
        subject="vera",
        role="viewer",
    )


async def test_health_needs_no_token_and_knows_each_service() -> None:
    async with served(RunsServiceWith()) as s:
        before = [await check(s), await check(s, RUNS)]
        s.server.health.set_serving(RUNS, serving=False)
        after = [await check(s), await check(s, RUNS)]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(s, "trackside.nothing.v1.NothingService")

    assert (before, after) == ([SERVING, SERVING], [NOT_SERVING, NOT_SERVING])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_list_of_health_needs_a_token() -> None:
    path = "/grpc.health.v1.Health/List"

    async with served(RunsServiceWith()) as s:
        data = await s.one(path)(b"", metadata=bearer())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(path)(b"")

    assert RUNS.encode() in data
    assert told(caught.value) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED")


async def test_the_streams_of_a_revoked_token_end_and_no_others() -> None:
    caller = Caller("mallory", Role.USER)
    service = RunsServiceWith({"WatchRun": watch_for_ever, "WatchRuns": watch_for_ever})

    async with served(service) as s:
        theirs = s.stream(WATCH)(b"", metadata=bearer(caller))
        others = s.stream("/trackside.runs.v1.RunsService/WatchRuns")(b"", metadata=bearer())
        await theirs.read()
        await others.read()
        VERIFIER.revocations.add([Revocation("", caller.subject, 1 << 41, 1 << 42)])
        error = await error_of(theirs)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await s.stream(WATCH)(b"", metadata=bearer(caller)).read()
        still_open = not others.done()
        others.cancel()

    assert told(error) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
    assert told(refused.value) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
    assert still_open


async def test_going_down_is_told_by_health_and_ends_watches_with_their_cursors() -> None:
    async with served(RunsServiceWith({"WatchRun": watch_until_drained})) as s:
        health = s.stream(WATCH_HEALTH)(b"")
        first = await health_in(health)
        watch = s.stream(WATCH)(b"", metadata=bearer())
        await watch.read()
        await s.server.drain_and_stop(grace=20)
        second = await health_in(health)
        errors = [await error_of(call) for call in (watch, health)]

    assert (first.status, second.status) == (SERVING, NOT_SERVING)
    assert [told(error) for error in errors] == [GOING_DOWN] * 2
    assert info_in(errors[0]).metadata.get("cursor") == "cursor-9"


async def test_a_watch_that_does_not_end_by_itself_is_ended_after_the_grace() -> None:
    async with served(RunsServiceWith({"WatchRun": watch_for_ever})) as s:
        watch = s.stream(WATCH)(b"", metadata=bearer())
        await watch.read()
        await s.server.drain_and_stop(grace=0)
        error = await error_of(watch)

    assert told(error) == GOING_DOWN
    assert info_in(error).metadata.get("cursor") == "cursor-9"


async def test_a_server_that_goes_down_answers_what_is_under_way_and_refuses_the_rest() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_request: object, _call: Call) -> bytes:
        entered.set()
        await leave.wait()
        return b""

    async with served(RunsServiceWith({"GetRun": slow})) as s:
        waiting = s.one(GET)(b"", metadata=bearer())
        await entered.wait()
        going_down = asyncio.create_task(s.server.drain_and_stop(grace=20))
        await s.server.draining.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await s.one(GET)(b"", metadata=bearer())
        status = await check(s)
        leave.set()
        answered = await waiting
        await going_down

    assert told(caught.value) == GOING_DOWN
    assert status == NOT_SERVING
    assert answered == b""


async def test_a_conversation_is_ended_when_the_server_goes_down() -> None:
    async def converse(_requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        yield b""
        await call.draining.wait()

    async with served(RunsServiceWith({"ReportRun": converse})) as s:
        call = s.converse(REPORT)(metadata=bearer())
        await call.read()
        await s.server.drain_and_stop(grace=20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    assert told(caught.value) == GOING_DOWN


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("trackside.runs.v1.RunsService", "trackside/runs/v1/runs_service.proto"),
        ("trackside.runs.v1.RunsService.GetRun", "trackside/runs/v1/runs_service.proto"),
        ("trackside.runs.v1.Run", "trackside/runs/v1/run.proto"),
        ("grpc.reflection.v1.ServerReflection", "grpc_reflection/v1/reflection.proto"),
        ("trackside.runs.v1.RunsService.DropRuns", ""),
        ("nothing", ""),
    ],
)
async def test_reflection_knows_services_methods_and_messages(
    version: str, symbol: str, file: str
) -> None:
    answer = await reflect(
        version, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    )

    files = answer.file_descriptor_response.file_descriptor_proto
    assert any(file.encode() in data for data in files) if file else not files
    assert answer.HasField("error_response") == (not file)


async def test_reflection_lists_every_service() -> None:
    answer = await reflect("v1", reflection_pb2.ServerReflectionRequest(list_services=""))

    assert {service.name for service in answer.list_services_response.service} == {
        RUNS,
        "trackside.servers.v1.ServersService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def reflect(
    version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with served(RunsServiceWith()) as s:
        call = s.converse(path)(metadata=bearer(Caller("vera", Role.VIEWER)))
        await call.write(request.SerializeToString())
        await call.done_writing()
        [data] = [data async for data in call]
    return reflection_pb2.ServerReflectionResponse.FromString(data)


async def health_in(
    call: "grpc.aio.UnaryStreamCall[bytes, bytes]",
) -> health_pb2.HealthCheckResponse:
    data = await call.read()
    assert isinstance(data, bytes)
    return health_pb2.HealthCheckResponse.FromString(data)


async def error_of(call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    return caught.value


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file
