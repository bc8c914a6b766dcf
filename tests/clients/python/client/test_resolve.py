import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.scripted_server import ScriptedServer
from trackside.client.connection import Connection
from trackside.client.errors import AmbiguousNameError, InvalidRequestError, NotFoundError
from trackside.client.resolve import choose, id_prefix, resolve_run
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import ListRunsResponse
from trackside_protos.servers.v1.servers_service_pb2 import GetServerResponse, Server

_NOON = 1_795_262_400
_FIRST = Run(
    run_id="7k2m000000000000",
    name="ridge",
    state=RunState.RUN_STATE_RUNNING,
    create_time=Timestamp(seconds=_NOON),
)
_SECOND = Run(
    run_id="7k9z000000000000",
    name="lasso",
    state=RunState.RUN_STATE_FAILED,
    create_time=Timestamp(seconds=_NOON - 3600),
)


def test_a_whole_id_is_taken_as_it_is(server: ScriptedServer, connection: Connection) -> None:
    assert resolve_run(connection, "7K2M00000000000O") == "7k2m000000000000"
    assert not server.requests


def test_a_unique_beginning_of_an_id_is_enough() -> None:
    assert choose("7k2", "7k2", [_FIRST]) == _FIRST.run_id


def test_a_name_goes_before_the_beginning_of_an_id() -> None:
    named = Run(run_id="zzzz000000000000", name="7k2")

    assert choose("7k2", "7k2", [_FIRST, named]) == named.run_id


def test_a_beginning_of_several_ids_is_ambiguous() -> None:
    with pytest.raises(AmbiguousNameError) as caught:
        choose("7k", "7k", [_FIRST, _SECOND])

    assert caught.value.candidates == (_FIRST.run_id, _SECOND.run_id)
    assert [(told.field, told.description) for told in caught.value.fields] == [
        (_FIRST.run_id, "ridge, RUNNING, created 2026-11-21T12:00:00Z"),
        (_SECOND.run_id, "lasso, FAILED, created 2026-11-21T11:00:00Z"),
    ]


def test_a_name_that_could_be_an_id_is_found(
    server: ScriptedServer, connection: Connection
) -> None:
    named = Run(run_id="zzzz000000000000", name="linearregression")
    server.answers["ListRuns"] = ListRunsResponse(runs=[named])

    assert resolve_run(connection, "linearregression") == named.run_id
    server.answers["ListRuns"] = ListRunsResponse()
    assert resolve_run(connection, "linearregression") == "11nearregress10n"


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\udcff", "x" * 5_000])
def test_what_no_run_can_be_called_is_not_asked_for(
    server: ScriptedServer, connection: Connection, text: str
) -> None:
    with pytest.raises(NotFoundError, match="no run has") as caught:
        resolve_run(connection, text)

    assert len(caught.value.message) < 400
    assert not server.requests["ListRuns"]


def test_what_fits_nothing_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        choose("nothing", "", [_FIRST])


@pytest.mark.parametrize(
    "text", ["", "@first", "@latest~x", "@latest~1000", "@latest~" + "9" * 5_000]
)
def test_what_could_name_no_run_is_refused(text: str, connection: Connection) -> None:
    with pytest.raises(InvalidRequestError):
        resolve_run(connection, text)


@pytest.mark.parametrize(
    ("text", "prefix"), [("7K2", "7k2"), ("o1l", "011"), ("ridge-2", ""), ("7k2m" * 5, "")]
)
def test_look_alikes_in_ids_are_mended(text: str, prefix: str) -> None:
    assert id_prefix(text) == prefix


def test_latest_is_the_newest_of_mine_that_is_no_child(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["GetServer"] = GetServerResponse(server=Server(subject="ann"))
    server.answers["ListRuns"] = ListRunsResponse(runs=[_SECOND, _FIRST])

    assert resolve_run(connection, "@latest") == _SECOND.run_id
    assert resolve_run(connection, "@latest~1") == _FIRST.run_id
    assert server.requests["ListRuns"][0].filter == 'owner = "ann" AND NOT parent:*'


def test_going_back_too_far_is_not_found(server: ScriptedServer, connection: Connection) -> None:
    server.answers["GetServer"] = GetServerResponse(server=Server(subject="ann"))
    server.answers["ListRuns"] = ListRunsResponse(runs=[_FIRST])

    with pytest.raises(NotFoundError):
        resolve_run(connection, "@latest~1")


def test_a_name_is_asked_for_with_the_beginning_of_an_id_at_once(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["ListRuns"] = ListRunsResponse(runs=[_FIRST])

    resolve_run(connection, "7k2")

    assert server.requests["ListRuns"][0].filter == '(name = "7k2" OR run_id = 7k2*)'
