import threading
from datetime import timedelta
from typing import Any, cast

import grpc
import pytest

from support.eventually import eventually
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError, ConflictError
from trackside.client.handle import RunHandle, get_run, list_runs
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry, LogLevel
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsResponse, WatchLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    ListSeriesResponse,
    Points,
    QueryPointsResponse,
    SeriesPoints,
)
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runs.v1.change_pb2 import RunChange, RunSnapshot
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import Progress, Run
from trackside_protos.runs.v1.run_state_pb2 import Condition, ConditionKind, RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    DeleteRunResponse,
    GetRunResponse,
    KillRunResponse,
    ListOutputsResponse,
    ListRunsResponse,
    ListTasksResponse,
    StopRunResponse,
    WatchRunResponse,
)
from trackside_protos.runs.v1.task_pb2 import Task

_NEXT = "2"
_ID = "7k2m000000000000"


def _run(state: RunState.ValueType) -> Run:
    return Run(run_id=_ID, name="ridge", state=state)


_RUNNING = _run(RunState.RUN_STATE_RUNNING)
_COMPLETED = _run(RunState.RUN_STATE_COMPLETED)
_TERMINATED = _run(RunState.RUN_STATE_TERMINATED)
_IDLE = _run(RunState.RUN_STATE_IDLE)


def _becoming(*runs: Run) -> list[WatchRunResponse | Exception]:
    """A watch that tells of these changes and then of nothing."""
    told = [WatchRunResponse(snapshot=RunSnapshot(run=_RUNNING), cursor="c0")]
    told += [WatchRunResponse(changes=[RunChange(run=run)], cursor="c") for run in runs]
    return [*told, HangUntilCancelled()]


@pytest.fixture
def handle(server: ScriptedServer, connection: Connection) -> RunHandle:
    server.answers["GetRun"] = GetRunResponse(run=_RUNNING)
    return get_run(_ID, connection=connection)


def test_a_handle_knows_the_run_as_it_was(handle: RunHandle) -> None:
    assert (handle.run_id, handle.name, handle.state) == (_ID, "ridge", "RUNNING")


def test_status_asks_anew(server: ScriptedServer, handle: RunHandle) -> None:
    run = _run(RunState.RUN_STATE_RUNNING)
    run.conditions.append(Condition(kind=ConditionKind.CONDITION_KIND_STALLED))
    run.progress.CopyFrom(Progress(percent=40.0, message="Fitting fold 2/5"))
    server.answers["GetRun"] = GetRunResponse(run=run)

    status = handle.status()

    assert (status.state, status.percent, status.remaining) == ("RUNNING", 40.0, None)
    assert (status.conditions, status.doing) == (("STALLED",), "Fitting fold 2/5")
    assert not status.ended


def test_actions_are_words(server: ScriptedServer, handle: RunHandle) -> None:
    run = _run(RunState.RUN_STATE_RUNNING)
    run.actions.append(RunAction.RUN_ACTION_KILL)
    server.answers["GetRun"] = GetRunResponse(run=run)

    assert handle.refresh().actions == ("KILL",)


def test_wait_returns_when_the_work_is_over(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["WatchRun"] = _becoming(_COMPLETED)

    assert handle.wait(timeout=60).state == "COMPLETED"


def test_an_idle_run_is_waited_for_no_longer(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["WatchRun"] = _becoming(_IDLE)

    assert handle.wait(timeout=60).state == "IDLE"


def test_wait_until_a_state_goes_past_others(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["WatchRun"] = _becoming(_IDLE, _TERMINATED)

    assert handle.wait(timeout=60, until="TERMINATED").state == "TERMINATED"


def test_wait_until_a_state_that_can_no_longer_come_ends(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["WatchRun"] = _becoming(_COMPLETED)

    assert handle.wait(timeout=60, until="IDLE").state == "COMPLETED"


def test_a_run_that_is_over_already_is_not_watched(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["GetRun"] = GetRunResponse(run=_COMPLETED)

    handle.wait()

    assert not server.requests["WatchRun"]


def test_a_wait_ends_in_time(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["WatchRun"] = _becoming()

    with pytest.raises(CallTimeoutError, match=r"still RUNNING after 0\.05 seconds"):
        handle.wait(timeout=0.05)


def test_a_wait_outlives_the_server(server: ScriptedServer, handle: RunHandle) -> None:
    server.scripts["WatchRun"] = [_becoming(), _becoming(_COMPLETED)]
    waiter = threading.Thread(target=handle.wait)
    waiter.start()
    eventually(lambda: server.requests["WatchRun"])

    server.stop()
    server.start()
    waiter.join()

    assert handle.state == "COMPLETED"


def test_kill_waits_for_the_proof(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["KillRun"] = KillRunResponse(run=_RUNNING)
    server.answers["WatchRun"] = _becoming(_TERMINATED)

    assert handle.kill().state == "TERMINATED"


def test_kill_of_an_ended_run_is_a_conflict(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["KillRun"] = Refused(
        grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_ALLOWED", "The run has ended."
    )

    with pytest.raises(ConflictError):
        handle.kill()


def test_stop_waits_for_the_proof(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["StopRun"] = StopRunResponse(run=_RUNNING)
    server.answers["WatchRun"] = _becoming(_TERMINATED)

    assert handle.stop(grace=2.5).state == "TERMINATED"

    (asked,) = server.requests["StopRun"]
    assert (asked.run_id, asked.grace_duration.ToMilliseconds()) == (_ID, 2_500)


def test_a_stop_need_not_be_waited_for(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["StopRun"] = StopRunResponse(run=_RUNNING)

    assert handle.stop(wait=False).state == "RUNNING"

    assert not server.requests["StopRun"][0].HasField("grace_duration")
    assert not server.requests["WatchRun"]


def test_a_stop_without_proof_in_time_is_told(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["StopRun"] = StopRunResponse(run=_RUNNING)
    server.answers["WatchRun"] = _becoming()

    with pytest.raises(CallTimeoutError):
        handle.stop(grace=0, timeout=0.05)


def test_delete_says_how_many_are_gone(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["DeleteRun"] = DeleteRunResponse(deleted_count=3)

    assert handle.delete() == 3


def test_an_interrupted_wait_kills_the_run(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["KillRun"] = KillRunResponse(run=_RUNNING)
    server.answers["WatchRun"] = _becoming(_TERMINATED)

    with pytest.raises(KeyboardInterrupt), handle.sync_context():
        raise KeyboardInterrupt

    assert len(server.requests["KillRun"]) == 1
    assert handle.state == "TERMINATED"


def test_an_interrupt_that_left_grpc_locked_kills_the_run_all_the_same(
    server: ScriptedServer, handle: RunHandle, connection: Connection
) -> None:
    server.answers["KillRun"] = KillRunResponse(run=_RUNNING)
    server.answers["WatchRun"] = _becoming(_TERMINATED)
    locks = [cast("Any", channel)._call_state.lock for channel in connection._channels.values()]

    def interrupted() -> None:
        for lock in locks:
            lock.acquire()
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt), handle.sync_context():
            interrupted()
    finally:
        for lock in locks:
            lock.release()

    assert handle.state == "TERMINATED"


def test_an_interrupt_after_the_end_of_the_run_is_an_interrupt(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["KillRun"] = Refused(
        grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_ALLOWED", "The run has ended."
    )

    with pytest.raises(KeyboardInterrupt), handle.sync_context():
        raise KeyboardInterrupt


def test_an_error_kills_no_run(server: ScriptedServer, handle: RunHandle) -> None:
    with pytest.raises(ValueError, match="mine"), handle.sync_context():
        raise ValueError("mine")

    assert not server.requests["KillRun"]


def test_status_tells_the_machine_and_what_was_used(
    server: ScriptedServer, handle: RunHandle
) -> None:
    run = _run(RunState.RUN_STATE_RUNNING)
    run.launch.machine_type = "c2-standard-4"
    run.elapsed_duration.FromSeconds(60)
    server.answers["GetRun"] = GetRunResponse(run=run)
    before = handle.status()
    run.provenance.machine.machine_type = "c2-standard-8"
    run.usage.processor_duration.FromSeconds(100)
    run.usage.peak_memory_bytes = 5
    server.answers["GetRun"] = GetRunResponse(run=run)

    after = handle.status()

    assert (before.machine_type, before.processor_time) == ("c2-standard-4", None)
    assert (after.machine_type, after.peak_memory_bytes) == ("c2-standard-8", 5)
    assert after.processor_time == timedelta(seconds=100)
    assert after.computation_time == timedelta(seconds=60)


def test_logs_are_read_page_by_page(server: ScriptedServer, handle: RunHandle) -> None:
    pages = [
        ListLogsResponse(
            blocks=[LogBlock(first_sequence=1, entries=[LogEntry(message="a")])],
            next_page_token=_NEXT,
        ),
        ListLogsResponse(blocks=[LogBlock(first_sequence=2, entries=[LogEntry(message="b")])]),
    ]
    server.answers["ListLogs"] = lambda asked: pages[int(asked.page_token or 1) - 1]

    assert [str(line) for line in handle.logs()] == ["a", "b"]


def test_the_last_logs_are_asked_for_at_once(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["ListLogs"] = ListLogsResponse()

    list(handle.logs(last=5, levels="error", streams=["stderr"], context={"fold": "3"}))

    asked = server.requests["ListLogs"][0]
    assert asked.last == 5
    assert asked.filter.levels == [LogLevel.LOG_LEVEL_ERROR, LogLevel.LOG_LEVEL_CRITICAL]
    assert dict(asked.filter.context) == {"fold": "3"}


def test_followed_logs_go_on_to_the_end(server: ScriptedServer, handle: RunHandle) -> None:
    block = LogBlock(first_sequence=1, entries=[LogEntry(message="a")])
    server.answers["WatchLogs"] = [WatchLogsResponse(blocks=[block], cursor="l1")]

    assert [line.message for line in handle.logs(follow=True)] == ["a"]


def test_metrics_series_tasks_and_outputs_are_the_servers(
    server: ScriptedServer, handle: RunHandle
) -> None:
    points = SeriesPoints(key="loss", points=Points(steps=[1], times_millis=[0], values=[0.5]))
    server.answers["QueryPoints"] = QueryPointsResponse(series=[points])
    server.answers["ListSeries"] = ListSeriesResponse(series=[Series(key="loss")])
    server.answers["ListTasks"] = ListTasksResponse(tasks=[Task(task_id="t")])
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=[Output(path="model.pt")])

    assert list(handle.metrics("loss")[0].points.values) == [0.5]
    assert [series.key for series in handle.series()] == ["loss"]
    assert [task.task_id for task in handle.tasks()] == ["t"]
    assert [output.path for output in handle.outputs()] == ["model.pt"]


def test_tasks_are_filtered_and_ordered_by_the_server(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["ListTasks"] = ListTasksResponse(tasks=[Task(task_id="t")])

    assert list(handle.tasks(filter_text="attempts > 1", order_by="duration desc"))
    asked = server.requests["ListTasks"][0]
    assert (asked.filter, asked.order_by) == ("attempts > 1", "duration desc")


def test_children_are_handles(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["ListRuns"] = ListRunsResponse(runs=[Run(run_id="child")])

    assert [child.run_id for child in handle.children()] == ["child"]
    assert server.requests["ListRuns"][0].filter == f'parent = "{_ID}"'


def test_runs_are_listed_over_pages_up_to_a_limit(
    server: ScriptedServer, connection: Connection
) -> None:
    pages = [
        ListRunsResponse(runs=[Run(run_id="a"), Run(run_id="b")], next_page_token=_NEXT),
        ListRunsResponse(runs=[Run(run_id="c"), Run(run_id="d")]),
    ]
    server.answers["ListRuns"] = lambda asked: pages[int(asked.page_token or 1) - 1]

    found = list_runs("tag = x", limit=3, connection=connection)

    assert [handle.run_id for handle in found] == ["a", "b", "c"]
