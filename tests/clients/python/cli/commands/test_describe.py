import json

import grpc
import pytest

from support.command_line import Command
from support.example_runs import (
    CHILD_ID,
    FAILED_ID,
    PARENT_ID,
    child,
    failed_child,
    log_block,
    outputs,
    processes,
    series,
    tasks,
)
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.runs.v1.runs_service_pb2 import (
    GetRunResponse,
    GetTaskRequest,
    GetTaskResponse,
    ListOutputsResponse,
    ListProcessesResponse,
    ListRunsResponse,
    ListTasksResponse,
)


@pytest.fixture(autouse=True)
def lists(server: ScriptedServer) -> None:
    server.answers["ListRuns"] = ListRunsResponse(runs=[child(), failed_child()])
    server.answers["ListTasks"] = ListTasksResponse(tasks=tasks())
    server.answers["ListProcesses"] = ListProcessesResponse(processes=processes())
    server.answers["ListSeries"] = ListSeriesResponse(series=series())
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=outputs())
    server.answers["ListLogs"] = ListLogsResponse(blocks=[log_block()])
    server.answers["GetTask"] = _get_task


def _get_task(asked: GetTaskRequest) -> GetTaskResponse | Refused:
    found = [task for task in tasks() if task.task_id == asked.task_id]
    missing = Refused(grpc.StatusCode.NOT_FOUND, "PART_NOT_FOUND", "There is no such task.")
    return GetTaskResponse(task=found[0]) if found else missing


def test_a_parent_is_described_by_its_children(command: Command) -> None:
    done = command("describe", PARENT_ID)

    assert done.code == 0
    assert done.out.startswith(f"Parent run {PARENT_ID}\n")
    assert f"{FAILED_ID}  epsilon=0.5 " in done.out
    assert "… more: trackside get runs --parent" in done.out


def test_a_child_is_described_by_its_nodes(command: Command) -> None:
    done = command("describe", CHILD_ID)

    assert f"Parent      {PARENT_ID} (digits sweep)" in done.out
    assert "load digits  CACHED     <cache hit>" in done.out
    assert "\\x1b[2Jhello" in done.out
    assert "\x1b" not in done.out


def test_what_one_service_cannot_give_is_named_and_the_rest_is_shown(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["ListSeries"] = Refused(
        grpc.StatusCode.INTERNAL, "INTERNAL", "Internal error.", metadata={"error_id": "e42"}
    )

    done = command("describe", CHILD_ID)

    assert done.code == 1
    assert done.err.splitlines() == [
        "error: Internal error.",
        "hint: the server's own log has more under the request id",
        "request id: e42",
    ]
    assert "Last log lines" in done.out


def test_programs_get_complete_lists(command: Command) -> None:
    done = command("describe", CHILD_ID, "-o", "json")

    page = json.loads(done.out)
    assert page["run"]["runId"] == CHILD_ID
    assert page["parent"]["runId"] == PARENT_ID
    assert page["tasks"][0]["state"] == "TASK_STATE_CACHED"
    assert page["log"][0]["sequence"] == "41"


def test_proof_times_of_a_kill_are_for_programs_too(command: Command) -> None:
    page = json.loads(command("describe", FAILED_ID, "-o", "json").out)

    assert page["run"]["controlRequests"][0]["confirmTime"] == "2026-11-21T11:58:11.120Z"


def test_a_parent_that_is_not_to_be_seen_is_named_by_its_id(
    command: Command, server: ScriptedServer
) -> None:
    missing = Refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    server.answers["GetRun"] = lambda asked: (
        missing if asked.run_id == PARENT_ID else GetRunResponse(run=child())
    )

    assert f"Parent      {PARENT_ID}\n" in command("describe", CHILD_ID).out


@pytest.mark.parametrize("text", ["fit-3", "fit fold 3"])
def test_a_task_is_described_by_id_or_name(text: str, command: Command) -> None:
    done = command("describe", f"{CHILD_ID}/{text}")

    assert done.out.startswith(f"Task fit-3 of run {CHILD_ID}\n")


def test_a_beginning_of_several_tasks_is_ambiguous(command: Command) -> None:
    done = command("describe", f"{CHILD_ID}/fit")

    assert done.code == 2
    assert done.err.splitlines()[:3] == [
        "error: 'fit' fits 2 tasks",
        "  fit-3: fit fold 3, RUNNING",
        "  fit-4: fit fold 4, PENDING",
    ]


def test_a_task_that_is_not_there_is_not_found(command: Command) -> None:
    done = command("describe", f"{CHILD_ID}/nothing")

    assert done.code == 3
    assert done.err.splitlines() == [
        "error: There is no such task.",
        f"hint: `trackside get tasks {CHILD_ID}` lists its tasks",
    ]


def test_the_name_of_a_task_goes_before_the_beginning_of_an_id(
    command: Command, server: ScriptedServer
) -> None:
    named = tasks()
    named[0].name = "fit"
    server.answers["ListTasks"] = ListTasksResponse(tasks=named)

    done = command("describe", f"{CHILD_ID}/fit")

    assert done.out.startswith(f"Task {named[0].task_id} of run {CHILD_ID}\n")


@pytest.mark.parametrize("name", ["nightly/vision", "nightly/vision/", "night/ly/vi"])
def test_a_run_or_task_whose_name_has_slashes_is_found(
    name: str, command: Command, server: ScriptedServer
) -> None:
    run, named = child(), tasks()
    run.name = named[0].name = name
    server.answers["ListRuns"] = ListRunsResponse(runs=[run])
    server.answers["GetRun"] = GetRunResponse(run=run)
    server.answers["ListTasks"] = ListTasksResponse(tasks=named)

    assert command("describe", name).out.startswith(f"Run {CHILD_ID}\n")
    of_task = command("describe", f"{name}/{name}").out
    assert of_task.startswith(f"Task {named[0].task_id} of run {CHILD_ID}\n")


def test_a_run_that_is_not_there_is_not_found_with_a_task(command: Command) -> None:
    done = command("describe", "nowhere/fit")

    assert (done.code, "no run has the id" in done.err) == (3, True)


def test_a_task_is_described_for_programs(command: Command) -> None:
    done = command("describe", f"{CHILD_ID}/scale", "-o", "json")

    assert json.loads(done.out)["task"]["attempts"][0]["exitCode"] == 1
    assert command("describe", f"{CHILD_ID}/scale", "-o", "name").out == f"{CHILD_ID}/scale\n"


def test_of_many_tasks_those_that_matter_are_shown(
    command: Command, server: ScriptedServer
) -> None:
    run = child()
    run.task_counts.succeeded = 100_000
    server.answers["GetRun"] = GetRunResponse(run=run)

    done = command("describe", CHILD_ID)

    assert server.requests["ListTasks"][0].states
    assert f"… more: trackside get tasks {CHILD_ID}" in done.out
