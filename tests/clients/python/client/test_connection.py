from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from support.scripted_server import Refused, ScriptedServer
from trackside.client.connection import Connection, address_of
from trackside.client.errors import (
    InvalidRequestError,
    NotFoundError,
    ServerUnreachableError,
    TokenRefusedError,
)
from trackside.client.listing import get_run
from trackside.location import Location
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import GetRunRequest, GetRunResponse
from trackside_protos.servers.v1.servers_service_pb2 import GetServerResponse, Server

_RUNS = "trackside.runs.v1.RunsService"


def test_every_call_carries_the_token_and_a_name(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["GetRun"] = GetRunResponse(run=Run(run_id="a"))

    get_run(connection, "a")

    sent = server.metadata[-1]
    assert sent["authorization"] == "Bearer token-of-mine"
    assert sent["x-request-id"]


@pytest.mark.parametrize("token", ["two\nlines", "t\u00f6ken", "t\udcff"])
def test_a_token_that_cannot_be_sent_is_refused_here(
    token: str, server: ScriptedServer, tmp_path: Path
) -> None:
    with (
        Connection(Location(server.address, token, tmp_path)) as connection,
        pytest.raises(TokenRefusedError, match="characters that no token has"),
    ):
        get_run(connection, "a")


def test_an_error_carries_reason_fields_and_metadata(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["GetRun"] = Refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "The request is wrong.",
        fields={"run_id": "not 16 characters"},
    )

    with pytest.raises(InvalidRequestError) as caught:
        get_run(connection, "a")

    error = caught.value
    assert (error.message, error.reason) == ("The request is wrong.", "INVALID_FIELD")
    assert [(f.field, f.description) for f in error.fields] == [("run_id", "not 16 characters")]


def test_an_internal_error_names_its_id_in_the_servers_log(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["GetRun"] = Refused(
        grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", metadata={"error_id": "e42"}
    )

    with pytest.raises(NotFoundError) as caught:
        get_run(connection, "a")

    assert caught.value.request_id == "e42"


def test_a_passing_outage_is_not_noticed(server: ScriptedServer, connection: Connection) -> None:
    answers = [Refused(grpc.StatusCode.UNAVAILABLE), GetRunResponse(run=Run(run_id="a"))]
    server.answers["GetRun"] = lambda _: answers.pop(0)

    run = get_run(connection, "a")

    assert run.run_id == "a"


def test_nobody_at_the_address_is_said_in_one_sentence(
    server: ScriptedServer, connection: Connection
) -> None:
    server.stop()

    with pytest.raises(ServerUnreachableError) as caught:
        get_run(connection, "a")

    assert caught.value.message == f"no server answers at {server.address}: connection refused"


def test_services_at_other_addresses_are_found(
    server: ScriptedServer, connection: Connection
) -> None:
    elsewhere = ScriptedServer()
    elsewhere.start()
    elsewhere.answers["GetRun"] = GetRunResponse(run=Run(run_id="b"))
    addresses = {_RUNS: elsewhere.address, "trackside.logs.v1.LogsService": server.address}
    server.answers["GetServer"] = GetServerResponse(server=Server(addresses=addresses))

    run = get_run(connection, "b")

    elsewhere.stop()
    assert run.run_id == "b"


@pytest.mark.parametrize("days", [-3, 0, 3])
def test_the_present_is_counted_by_the_clock_of_the_server(
    server: ScriptedServer, connection: Connection, days: int
) -> None:
    there = datetime.now(UTC) + timedelta(days=days)
    told = GetServerResponse(server=Server())
    told.current_time.FromDatetime(there)
    server.answers["GetServer"] = told

    assert timedelta(0) <= connection.now() - there < timedelta(minutes=1)
    connection.close()
    assert connection.now() > there

    assert len(server.requests["GetServer"]) == 1


def test_a_server_that_tells_no_time_is_as_late_as_we_are(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["GetServer"] = GetServerResponse(server=Server())

    assert abs(connection.now() - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("addresses", "address"),
    [
        ({}, "known:1"),
        ({_RUNS: "10.0.0.1:8750", "other": "10.0.0.1:8750"}, "known:1"),
        ({_RUNS: "10.0.0.1:8760", "other": "10.0.0.1:8761"}, "10.0.0.1:8760"),
        ({_RUNS: "0.0.0.0:8760", "other": "0.0.0.0:8761"}, "known:8760"),
        ({_RUNS: "[::]:8760", "other": "[::]:8761"}, "known:8760"),
    ],
    ids=["untold", "all in one", "elsewhere", "any host", "any host of IPv6"],
)
def test_a_forwarded_port_stays_good(addresses: dict[str, str], address: str) -> None:
    assert address_of(_RUNS, "known:1", addresses) == address


def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    connection = Connection(Location("127.0.0.1:1", "", tmp_path))

    connection.close()

    assert not vars(connection)["_channels"]


def test_a_closed_connection_opens_again(server: ScriptedServer, connection: Connection) -> None:
    server.answers["GetRun"] = GetRunResponse(run=Run(run_id="a"))
    connection.call(connection.runs.GetRun, GetRunRequest(run_id="a"))

    connection.close()

    assert get_run(connection, "a").run_id == "a"


def test_a_call_on_a_connection_that_another_thread_closed_is_an_error_of_ours(
    connection: Connection,
) -> None:
    method = connection.runs.GetRun
    connection.close()

    with pytest.raises(ServerUnreachableError, match="the connection was closed"):
        connection.call(method, GetRunRequest(run_id="a"))
