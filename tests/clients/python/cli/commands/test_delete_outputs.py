from typing import Any

import grpc
import pytest

from support.command_line import Command, Keyboard
from support.example_runs import CHILD_ID, FAILED_ID, PARENT_ID, at, child, failed_child
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.runs.v1 import output_deletion_pb2
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction
from trackside_protos.runs.v1.runs_service_pb2 import (
    DeleteOutputsRequest,
    DeleteOutputsResponse,
    GetRunResponse,
    ListOutputsResponse,
    ListRunsResponse,
    ListTasksResponse,
    RunListChange,
    WatchRunsResponse,
)

MODEL = Output(path="model", size_bytes=2_000_000, exists=True)
PLOT = Output(path="plot\x1b[2J", size_bytes=1_000, exists=True)


def ordered(**result: Any) -> Run:
    """Return the run with the request, and with what came of it once something did."""
    run = failed_child()
    run.output_directory.path = "/data/work"
    request = run.control_requests.add(
        request_id="r1",
        action=RunAction.RUN_ACTION_DELETE_OUTPUTS,
        requester="ann",
        request_time=at(1),
    )
    request.outputs_deletion.requested_count = 2
    if result:
        request.confirm_time.CopyFrom(at(0.88))
        request.outputs_deletion.MergeFrom(output_deletion_pb2.OutputsDeletion(**result))
    return run


def answer(asked: DeleteOutputsRequest) -> DeleteOutputsResponse:
    """Answer as a server does whose run has published two files."""
    run = ordered()
    request = None if asked.validate_only else run.control_requests[-1]
    return DeleteOutputsResponse(
        run=run, request=request, outputs=[MODEL, PLOT], output_count=2, size_bytes=2_001_000
    )


@pytest.fixture
def deletable(command: Command, server: ScriptedServer) -> Command:
    server.answers["DeleteOutputs"] = answer
    told = ordered(deleted_count=2, deleted_bytes=2_001_000)
    server.answers["WatchRuns"] = [
        WatchRunsResponse(present=[ordered()], cursor="c0"),
        WatchRunsResponse(changes=[RunListChange(run=told)], cursor="c1"),
        HangUntilCancelled(),
    ]
    return command


def words(server: ScriptedServer) -> list[str]:
    """Return the words with which something was really asked for."""
    asked = server.requests["DeleteOutputs"]
    return [one.confirmation for one in asked if not one.validate_only]


def test_outputs_are_deleted_and_that_is_proved(deletable: Command, server: ScriptedServer) -> None:
    done = deletable("delete", "--outputs", "--yes", FAILED_ID)

    assert done.code == 0
    assert done.err.splitlines()[0] == f"Successfully sent delete request to {FAILED_ID}."
    assert done.err.splitlines()[1].startswith(f"{FAILED_ID} requested ")
    assert done.out.startswith(f"{FAILED_ID} FAILED DELETE_OUTPUTS by ann: requested ")
    assert done.out.endswith("confirmed +0.120 s, deleted 2 outputs (2.0 MB)\n")
    assert words(server) == ["delete"]
    assert not server.requests["DeleteRun"]


def test_the_word_is_typed_and_sent(
    deletable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("delete\n"))

    done = deletable("delete", "--outputs", FAILED_ID)

    assert done.code == 0
    assert "/data/work" in done.err
    assert "2.0 MB" in done.err
    assert "plot\\x1b[2J" in done.err
    assert "Type `delete` to delete 2 outputs (2.0 MB) of 1 run for good: " in done.err
    assert words(server) == ["delete"]


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "yes\n", "Delete\n", "delete all\n"])
def test_any_other_word_deletes_nothing(
    deletable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard(typed))

    done = deletable("delete", "--outputs", FAILED_ID)

    assert (done.code, done.err.splitlines()[-1].endswith("error: nothing was deleted")) == (
        1,
        True,
    )
    assert not words(server)


def test_without_a_terminal_nothing_is_deleted_unasked(
    deletable: Command, server: ScriptedServer
) -> None:
    done = deletable("delete", "--outputs", FAILED_ID)

    assert (done.code, "--yes deletes without asking" in done.err) == (2, True)
    assert not words(server)


def test_a_plan_names_what_would_go(deletable: Command, server: ScriptedServer) -> None:
    done = deletable("delete", "--outputs", "--dry-run", FAILED_ID)

    assert done.code == 0
    assert done.out.splitlines()[0] == f"{FAILED_ID} /data/work"
    assert "model" in done.out
    assert done.err == "Would delete 2 outputs (2.0 MB) of 1 run; nothing was deleted.\n"
    assert not words(server)


def test_only_what_is_named_is_asked_for(deletable: Command, server: ScriptedServer) -> None:
    deletable("delete", "--outputs", "--yes", "--path", "model", "--path", "plot", FAILED_ID)

    assert [list(one.paths) for one in server.requests["DeleteOutputs"]] == [["model", "plot"]] * 2


def test_what_was_kept_is_said_and_makes_a_conflict(
    deletable: Command, server: ScriptedServer
) -> None:
    kept = output_deletion_pb2.KeptOutput(
        path="plot\x1b[2J",
        reason=output_deletion_pb2.KEPT_REASON_CHANGED,
        message="it has other contents than were published",
    )
    told = ordered(
        deleted_count=1, deleted_bytes=10, absent_count=1, kept_count=3, kept_outputs=[kept]
    )
    server.answers["WatchRuns"] = [WatchRunsResponse(present=[told], cursor="c0")]

    done = deletable("delete", "--outputs", "--yes", FAILED_ID)

    assert done.code == 5
    assert done.out.splitlines()[0].endswith("deleted 1 output (10 B), 1 was gone before, kept 3")
    assert done.out.splitlines()[1:] == [
        "  kept plot\\x1b[2J: it has other contents than were published",
        "  … and 2 more",
    ]


def test_of_a_parent_the_children_are_meant(deletable: Command, server: ScriptedServer) -> None:
    server.answers["ListRuns"] = ListRunsResponse(runs=[child(), failed_child()])

    done = deletable("delete", "--outputs", "--dry-run", PARENT_ID)

    assert (done.code, done.err.startswith("Would delete 4 outputs")) == (0, True)
    assert [one.run_id for one in server.requests["DeleteOutputs"]] == [CHILD_ID, FAILED_ID]
    assert PARENT_ID in server.requests["ListRuns"][0].filter


def test_nothing_to_delete_is_said(command: Command, server: ScriptedServer) -> None:
    server.answers["DeleteOutputs"] = DeleteOutputsResponse(run=failed_child())

    done = command("delete", "--outputs", FAILED_ID)

    assert (done.code, done.err) == (0, "There is nothing to delete.\n")
    assert not words(server)


def test_a_refusal_is_said_before_anybody_is_asked(
    deletable: Command, server: ScriptedServer
) -> None:
    server.answers["DeleteOutputs"] = Refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "UNSAFE_DIRECTORY",
        "Nothing is deleted below /home/ann: it is or holds a user's home.",
    )

    done = deletable("delete", "--outputs", "--dry-run", CHILD_ID)

    assert done.code == 5
    assert done.err.splitlines()[0] == (
        f"error: {CHILD_ID}: Nothing is deleted below /home/ann: it is or holds a user's home."
    )


def test_an_agent_that_is_away_is_waited_for_so_long_only(
    deletable: Command, server: ScriptedServer
) -> None:
    server.answers["WatchRuns"] = [
        WatchRunsResponse(present=[ordered()], cursor="c0"),
        HangUntilCancelled(),
    ]

    done = deletable("delete", "--outputs", "--yes", "--timeout", "0.1", FAILED_ID)

    assert done.code == 7
    assert "2 outputs to delete, not confirmed yet" in done.out
    assert f"error: the agent of run {FAILED_ID} has not confirmed after 0.1 seconds" in done.err


def test_nobody_waits_who_does_not_want_to(deletable: Command, server: ScriptedServer) -> None:
    done = deletable("delete", "--outputs", "--yes", "--no-wait", FAILED_ID)

    assert (done.code, done.out) == (0, "")
    assert not server.requests["WatchRuns"]


def test_a_path_alone_is_a_mistake(command: Command) -> None:
    done = command("delete", "--path", "model", FAILED_ID)

    assert (done.code, "--path is for --outputs" in done.err) == (2, True)


def test_describe_shows_what_came_of_it(command: Command, server: ScriptedServer) -> None:
    kept = output_deletion_pb2.KeptOutput(path="plot", message="it is behind a link")
    told = ordered(deleted_count=1, deleted_bytes=10, kept_count=1, kept_outputs=[kept])
    server.answers["GetRun"] = GetRunResponse(run=told)
    server.answers["ListTasks"] = ListTasksResponse()
    server.answers["ListOutputs"] = ListOutputsResponse()
    server.answers["ListSeries"] = ListSeriesResponse()
    server.answers["ListLogs"] = ListLogsResponse()

    lines = [line.strip() for line in command("describe", FAILED_ID).out.splitlines()]

    place = next(number for number, line in enumerate(lines) if "DELETE_OUTPUTS" in line)
    assert lines[place].endswith("confirmed +0.120 s, deleted 1 output (10 B), kept 1")
    assert lines[place + 1] == "kept plot: it is behind a link"
