from collections.abc import AsyncGenerator
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from trackside_protos.live.v1.live_service_pb2 import LogsPart, MetricsPart, RunPart
from trackside_protos.live.v1.live_service_pb2 import WatchLiveRequest as LiveRequest
from trackside_protos.live.v1.live_service_pb2_grpc import LiveServiceStub
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest
from trackside_protos.runs.v1.runs_service_pb2_grpc import RunsServiceStub
from trackside_protos.servers.v1.servers_service_pb2 import GetServerRequest
from trackside_protos.servers.v1.servers_service_pb2_grpc import ServersServiceStub
from trackside_serving.places import LIVE, LOGS, METRICS, RUNNERS, RUNS
from trackside_serving.settings import Settings
from trackside_serving.starting import StoreError
from trackside_standalone.assembly import Assembly


def settings_of(home: Path, **others: str) -> Settings:
    return Settings.model_validate({"home": home, "listen": "127.0.0.1:0", **others})


@pytest.fixture
async def assembly(tmp_path: Path) -> AsyncGenerator[Assembly]:
    assembly = Assembly(settings_of(tmp_path))
    await assembly.start()
    yield assembly
    await assembly.close()


@pytest.fixture
async def channel(assembly: Assembly) -> AsyncGenerator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(assembly.server.address) as channel:
        yield channel


@pytest.fixture
def metadata(assembly: Assembly) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(("authorization", f"Bearer {assembly.home.token}"))


async def test_all_services_share_one_address(
    assembly: Assembly, channel: grpc.aio.Channel, metadata: grpc.aio.Metadata
) -> None:
    stub = ServersServiceStub(channel)

    answer = await stub.GetServer(GetServerRequest(), metadata=metadata)

    addresses = answer.server.addresses
    assert {addresses[name] for name in (RUNS, RUNNERS, LOGS, METRICS, LIVE)} == {
        assembly.server.address
    }
    assert answer.server.store.startswith("sqlite ")
    assert answer.server.server_id == assembly.home.server_id


async def test_every_service_is_healthy(channel: grpc.aio.Channel) -> None:
    check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        "/grpc.health.v1.Health/Check"
    )

    answers = [
        await check(health_pb2.HealthCheckRequest(service=name).SerializeToString())
        for name in ("", RUNS, RUNNERS, LOGS, METRICS, LIVE)
    ]

    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert set(answers) == {serving.SerializeToString()}


async def test_a_merged_watch_reaches_all_three_services(
    channel: grpc.aio.Channel, metadata: grpc.aio.Metadata
) -> None:
    create = CreateRunRequest(run=Run(name="watched"), producer_id="p")
    created = await RunsServiceStub(channel).CreateRun(create, metadata=metadata)
    request = LiveRequest(
        run_id=created.run.run_id, run=RunPart(), logs=LogsPart(), metrics=MetricsPart()
    )

    caught_up: set[str] = set()
    watch = LiveServiceStub(channel).WatchLive(request, metadata=metadata)
    async for response in watch:
        caught_up |= {
            name for name in ("run", "logs", "metrics") if getattr(response, name).caught_up
        }
        if response.cursor and len(caught_up) == 3:
            break
    watch.cancel()

    assert caught_up == {"run", "logs", "metrics"}


async def test_a_home_has_one_server(assembly: Assembly) -> None:
    with pytest.raises(StoreError, match="TRACKSIDE_HOME"):
        Assembly(settings_of(assembly.home.path))


async def test_a_database_that_does_not_answer_names_its_setting(tmp_path: Path) -> None:
    nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/none"

    with pytest.raises(StoreError, match="TRACKSIDE_DATABASE_URL"):
        Assembly(settings_of(tmp_path, database_url=nowhere))
