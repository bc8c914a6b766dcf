import grpc
import pytest

from support.command_line import Command, Keyboard
from support.example_runs import CHILD_ID, FAILED_ID, PARENT_ID
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.runs.v1.runs_service_pb2 import DeleteRunResponse


def test_an_ended_run_is_deleted(command: Command, server: ScriptedServer) -> None:
    server.answers["DeleteRun"] = DeleteRunResponse(deleted_count=1)

    done = command("delete", "--yes", FAILED_ID)

    assert (done.code, done.out) == (0, f"{FAILED_ID} is gone from every service.\n")
    assert done.err == f"Successfully deleted {FAILED_ID}.\n"
    assert [asked.run_id for asked in server.requests["DeleteRun"]] == [FAILED_ID]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (31, f"Successfully deleted {PARENT_ID} and 30 children.\n"),
        (2, f"Successfully deleted {PARENT_ID} and 1 child.\n"),
        (0, f"{PARENT_ID} was gone before.\n"),
    ],
)
def test_how_many_went_is_told(
    count: int, said: str, command: Command, server: ScriptedServer
) -> None:
    server.answers["DeleteRun"] = DeleteRunResponse(deleted_count=count)

    assert command("delete", "--yes", PARENT_ID).err == said


def test_deleting_is_asked_for_with_what_goes_with_it(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("n\n"))

    done = command("delete", FAILED_ID)

    assert done.code == 1
    assert "go with them, for good" in done.err
    assert done.err.endswith("Delete 1 run? [y/N] error: nothing was deleted\n")
    assert not server.requests["DeleteRun"]


def test_without_a_terminal_nothing_is_deleted_unasked(
    command: Command, server: ScriptedServer
) -> None:
    done = command("delete", FAILED_ID)

    assert (done.code, "--yes deletes without asking" in done.err) == (2, True)
    assert not server.requests["DeleteRun"]


def test_a_plan_says_what_is_still_at_work(command: Command, server: ScriptedServer) -> None:
    done = command("delete", "--dry-run", CHILD_ID)

    assert done.code == 5
    assert f"{CHILD_ID} is RUNNING, and DELETE is not allowed now." in done.err
    assert not server.requests["DeleteRun"]


def test_a_run_at_work_is_a_conflict(command: Command, server: ScriptedServer) -> None:
    server.answers["DeleteRun"] = Refused(
        grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_ALLOWED", "The run has not ended."
    )

    done = command("delete", "--yes", CHILD_ID)

    assert done.code == 5
    assert done.err.splitlines()[0] == f"error: {CHILD_ID}: The run has not ended."


def pending(*services: str, count: int = 0) -> DeleteRunResponse:
    return DeleteRunResponse(deleted_count=count, pending_services=services)


def test_it_waits_until_no_service_has_anything_left(
    command: Command, server: ScriptedServer
) -> None:
    answers = iter([pending("runs", "logs", "metrics", count=1), pending("logs"), pending()])
    server.answers["DeleteRun"] = lambda _: next(answers)

    done = command("delete", "--yes", FAILED_ID)

    assert (done.code, done.out) == (0, f"{FAILED_ID} is gone from every service.\n")
    assert len(server.requests["DeleteRun"]) == 3


def test_an_outage_meanwhile_is_waited_out(command: Command, server: ScriptedServer) -> None:
    answers = iter([pending("logs", count=1), Refused(grpc.StatusCode.UNAVAILABLE), pending()])
    server.answers["DeleteRun"] = lambda _: next(answers)

    done = command("delete", "--yes", FAILED_ID)

    assert (done.code, done.out) == (0, f"{FAILED_ID} is gone from every service.\n")


def test_a_service_that_does_not_confirm_is_waited_for_so_long_only(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["DeleteRun"] = pending("logs", "metrics", count=1)

    done = command("delete", "--yes", "--timeout", "0.2", FAILED_ID)

    assert (done.code, done.out) == (7, "")
    assert f"error: something of {FAILED_ID} is still left in logs, metrics after 0.2" in done.err


def test_without_waiting_it_says_who_has_not_confirmed(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["DeleteRun"] = pending("logs", count=1)

    done = command("delete", "--yes", "--no-wait", FAILED_ID)

    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1] == f"Something of {FAILED_ID} is still left in logs."
    assert len(server.requests["DeleteRun"]) == 1
