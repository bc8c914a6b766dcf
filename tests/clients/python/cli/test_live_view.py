import io

import grpc
import pytest
from rich.console import Console

from support.eventually import eventually
from support.example_runs import CHILD_ID, PARENT_ID, child, failed_child, parent, series
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside.cli.live_model import Received
from trackside.cli.live_view import follow, follow_until, take_list
from trackside.client.connection import Connection
from trackside.client.errors import NotFoundError
from trackside_protos.live.v1.live_service_pb2 import WatchLiveResponse
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    GetRunResponse,
    RunListChange,
    WatchRunResponse,
    WatchRunsResponse,
)


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=30)


def _drawn(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def _ended(run: Run) -> Run:
    run.state = RunState.RUN_STATE_COMPLETED
    run.sealed = True
    return run


def _logs(*messages: str) -> WatchLogsResponse:
    block = LogBlock(first_sequence=1, entries=[LogEntry(message=text) for text in messages])
    return WatchLogsResponse(blocks=[block], cursor="l")


def test_a_run_is_drawn_until_it_is_over(
    server: ScriptedServer, connection: Connection, screen: Console
) -> None:
    server.answers["GetRun"] = GetRunResponse(run=child())
    server.answers["ListSeries"] = ListSeriesResponse(series=series())
    ended = WatchRunResponse(changes=[RunChange(run=_ended(child()))])
    server.answers["WatchLive"] = [
        WatchLiveResponse(logs=_logs("hello \x1b[2J"), cursor="1"),
        WatchLiveResponse(run=ended, cursor="2"),
    ]

    final = follow(CHILD_ID, connection, screen)

    assert final.state == RunState.RUN_STATE_COMPLETED
    assert "epsilon=0.02" in _drawn(screen)
    assert "hello \\x1b[2J" in _drawn(screen)
    assert "COMPLETED" in _drawn(screen)


def test_a_sweep_is_drawn_with_its_children_and_their_lines(
    server: ScriptedServer, connection: Connection, screen: Console
) -> None:
    server.answers["GetRun"] = GetRunResponse(run=parent())
    server.answers["WatchRuns"] = [
        WatchRunsResponse(present=[child(), failed_child()], cursor="c"),
        HangUntilCancelled(),
    ]
    server.answers["WatchLogs"] = [_logs("from a child"), HangUntilCancelled()]

    def parent_ends(_: object) -> list[WatchRunResponse]:
        eventually(lambda: server.requests["WatchLogs"])
        ended = _ended(parent())
        ended.children.total_count = 1  # of which the failed one was told of
        return [WatchRunResponse(changes=[RunChange(run=ended)], cursor="c")]

    server.answers["WatchRun"] = parent_ends

    final = follow(PARENT_ID, connection, screen)

    assert final.state == RunState.RUN_STATE_COMPLETED
    assert "Fitting fold 3/5 - SVC" in _drawn(screen)
    assert [asked.run_id for asked in server.requests["WatchLogs"]] == [CHILD_ID]
    assert server.requests["WatchRuns"][0].filter == f'parent = "{PARENT_ID}"'


def test_drawing_ends_when_it_is_enough(
    server: ScriptedServer, connection: Connection, screen: Console
) -> None:
    server.answers["GetRun"] = GetRunResponse(run=child())
    server.answers["WatchLive"] = [HangUntilCancelled()]

    run = follow_until(CHILD_ID, connection, screen, lambda _: True)

    assert run.state == RunState.RUN_STATE_RUNNING


def test_a_run_that_is_not_there_is_raised(
    server: ScriptedServer, connection: Connection, screen: Console
) -> None:
    server.answers["GetRun"] = Refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")

    with pytest.raises(NotFoundError):
        follow(CHILD_ID, connection, screen)


def test_off_a_terminal_the_last_drawing_is_written(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["GetRun"] = GetRunResponse(run=_ended(child()))
    server.answers["WatchLive"] = []
    pipe = Console(file=io.StringIO(), width=100, height=30)

    follow(CHILD_ID, connection, pipe)

    assert _drawn(pipe).count("COMPLETED") == 1
    assert "\x1b" not in _drawn(pipe)


def test_a_list_keeps_what_matches() -> None:
    runs = dict[str, Received]()

    take_list(runs, WatchRunsResponse(present=[child(), parent()]), 1.0)
    take_list(runs, WatchRunsResponse(changes=[RunListChange(left_run_id=CHILD_ID)]), 2.0)

    assert set(runs) == {PARENT_ID}
