import threading

import grpc
import pytest

from support.scripted_server import Cut, HangUntilCancelled, Refused, ScriptedServer
from trackside.client.connection import Connection
from trackside.client.errors import CursorExpiredError, NotFoundError, ServerUnreachableError
from trackside.client.watch import BEGINNING, watch_live, watch_logs, watch_run, watch_runs
from trackside_protos.live.v1.live_service_pb2 import (
    RunPart,
    WatchLiveRequest,
    WatchLiveResponse,
)
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse, WatchRunsResponse


def _change(sequence: int) -> WatchRunResponse:
    return WatchRunResponse(changes=[RunChange(sequence=sequence)], cursor=f"c{sequence}")


def _sequences(responses: list[WatchRunResponse]) -> list[int]:
    return [change.sequence for response in responses for change in response.changes]


def test_a_watch_that_is_cut_goes_on_after_its_last_cursor(
    server: ScriptedServer, connection: Connection
) -> None:
    server.scripts["WatchRun"] = [[_change(1), _change(2), Cut()], [_change(3)]]

    responses = list(watch_run(connection, "r"))

    assert _sequences(responses) == [1, 2, 3]
    assert server.requests["WatchRun"][1].start.cursor == "c2"


def test_a_server_that_is_gone_for_a_while_is_waited_for(
    server: ScriptedServer, connection: Connection
) -> None:
    server.scripts["WatchRun"] = [[_change(1), HangUntilCancelled()], [_change(2)]]
    watch = watch_run(connection, "r")
    first = next(watch)

    server.stop()
    server.start()

    assert _sequences([first, *watch]) == [1, 2]


def test_a_watch_ends_when_the_server_has_said_everything(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["WatchRun"] = [_change(1)]

    assert len(list(watch_run(connection, "r"))) == 1
    assert len(server.requests["WatchRun"]) == 1


def test_a_watch_of_a_list_goes_on_when_its_stream_ends(
    server: ScriptedServer, connection: Connection
) -> None:
    server.scripts["WatchRuns"] = [
        [WatchRunsResponse(cursor="c1")],
        [WatchRunsResponse(cursor="c2"), HangUntilCancelled()],
    ]

    with watch_runs(connection) as watch:
        cursors = [next(watch).cursor, next(watch).cursor]

    assert cursors == ["c1", "c2"]


def test_an_expired_cursor_is_raised(server: ScriptedServer, connection: Connection) -> None:
    expired = Refused(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED", metadata={"earliest": "c9"})
    server.scripts["WatchRun"] = [[_change(1), Cut()], [expired]]
    watch = watch_run(connection, "r")
    next(watch)

    with pytest.raises(CursorExpiredError) as caught:
        next(watch)

    assert caught.value.earliest == "c9"


def test_a_run_that_is_not_there_is_raised(server: ScriptedServer, connection: Connection) -> None:
    server.answers["WatchRun"] = Refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")

    with pytest.raises(NotFoundError):
        next(watch_run(connection, "r"))


def test_nobody_in_the_first_place_is_raised(
    server: ScriptedServer, connection: Connection
) -> None:
    server.stop()

    with pytest.raises(ServerUnreachableError):
        next(watch_run(connection, "r"))


def test_a_patient_watch_waits_for_its_server(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["WatchRun"] = [_change(1)]
    server.stop()
    watch = watch_run(connection, "r", patient=True)
    received: list[WatchRunResponse] = []
    reader = threading.Thread(target=lambda: received.extend(watch))
    reader.start()

    server.start()
    reader.join()

    assert _sequences(received) == [1]


def test_a_watch_is_stopped_from_another_thread(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["WatchRun"] = [_change(1), HangUntilCancelled()]
    watch = watch_run(connection, "r")
    next(watch)

    threading.Timer(0.05, watch.stop).start()

    assert list(watch) == []


def test_a_stopped_watch_waits_for_no_server(
    server: ScriptedServer, connection: Connection
) -> None:
    server.stop()
    watch = watch_run(connection, "r", patient=True)
    threading.Timer(0.05, watch.stop).start()

    assert list(watch) == []


def test_a_merged_watch_resumes_all_parts_by_one_cursor(
    server: ScriptedServer, connection: Connection
) -> None:
    server.scripts["WatchLive"] = [
        [WatchLiveResponse(run=_change(1), cursor="all-1"), Cut()],
        [WatchLiveResponse(run=_change(2), cursor="all-2")],
    ]
    request = WatchLiveRequest(run_id="r", run=RunPart())

    responses = list(watch_live(connection, request))

    assert _sequences([response.run for response in responses]) == [1, 2]
    assert server.requests["WatchLive"][1].cursor == "all-1"


def test_a_watch_of_logs_begins_where_it_is_told(
    server: ScriptedServer, connection: Connection
) -> None:
    block = LogBlock(first_sequence=1, entries=[LogEntry(message="hello")])
    server.answers["WatchLogs"] = [WatchLogsResponse(blocks=[block], cursor="l1")]

    responses = list(watch_logs(connection, "r", BEGINNING))

    assert responses[0].blocks[0].entries[0].message == "hello"
    assert server.requests["WatchLogs"][0].start == BEGINNING
