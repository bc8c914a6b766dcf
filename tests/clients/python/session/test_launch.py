import sys
from datetime import timedelta
from pathlib import Path

import pytest

import trackside
from support.scripted_server import ScriptedServer
from trackside.client.connection import Connection
from trackside.client.orders import id_of_order
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunResponse
from trackside_protos.servers.v1.servers_service_pb2 import GetServerResponse, Server


@pytest.fixture
def asked(server: ScriptedServer) -> list[Run]:
    """What was asked to be created."""
    created: list[Run] = []

    def create(request: object) -> CreateRunResponse:
        run: Run = getattr(request, "run")  # noqa: B009 - of a request of any service
        created.append(run)
        return CreateRunResponse(run=run)

    server.answers["CreateRun"] = create
    return created


def test_a_launch_returns_a_handle(connection: Connection, asked: list[Run]) -> None:
    run = trackside.launch(
        ["python3", "train.py", "--rate", "{rate}"],
        name="train",
        params={"rate": 0.1},
        tags="gpu",
        labels={"team": 1},
        time_limit=90,
        memory_limit_bytes=1 << 30,
        machine_type="large",
        environment={"STAGE": "test"},
        connection=connection,
    )

    (wanted,) = asked
    assert run.run_id == wanted.run_id
    assert len(wanted.run_id) == 16
    assert (wanted.name, wanted.runner, list(wanted.tags)) == ("train", "local", ["gpu"])
    assert wanted.parameters["rate"].number_value == 0.1
    assert wanted.launch.command == ["python3", "train.py", "--rate", "{rate}"]
    assert wanted.launch.time_limit_duration.ToTimedelta() == timedelta(seconds=90)
    assert wanted.launch.memory_limit_bytes == 1 << 30
    assert wanted.launch.machine_type == "large"
    assert wanted.launch.environment["STAGE"] == "test"


def test_on_this_machine_a_command_means_what_it_means_here(
    connection: Connection, asked: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/mine")

    trackside.launch("python3 -c 'print(1)'", connection=connection)
    trackside.launch("true", work_directory=Path("/tmp"), connection=connection)  # noqa: S108 - not used

    first, second = asked
    assert first.launch.command == ["python3", "-c", "print(1)"]
    assert first.launch.work_directory == str(Path.cwd())
    assert first.launch.environment["PATH"] == "/mine"
    assert second.launch.work_directory == "/tmp"  # noqa: S108 - not used


def test_the_same_launch_may_be_asked_for_again(connection: Connection, asked: list[Run]) -> None:
    for _ in range(2):
        trackside.launch([sys.executable], run_id="a" * 16, connection=connection)

    assert asked[0] == asked[1]


def test_an_order_that_is_given_again_is_of_the_same_run(
    connection: Connection, asked: list[Run], server: ScriptedServer
) -> None:
    server.answers["GetServer"] = GetServerResponse(server=Server(subject="me"))

    for order in ("monday", "monday", "tuesday"):
        trackside.launch("true", request_id=order, connection=connection)

    first, again, other = (run.run_id for run in asked)
    assert first == again == id_of_order(connection, "monday")
    assert other != first
