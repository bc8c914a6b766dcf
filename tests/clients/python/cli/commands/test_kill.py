import io

import grpc
import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, at, child, parent
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    GetRunRequest,
    GetRunResponse,
    KillRunResponse,
)


class _Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def killable(command: Command, server: ScriptedServer) -> Command:
    """The child ends as soon as its kill was sent, with proof."""
    killed = child()
    killed.state = RunState.RUN_STATE_TERMINATED
    killed.control_requests.append(
        ControlRequest(action=RunAction.RUN_ACTION_KILL, request_time=at(1), confirm_time=at(0.88))
    )

    def get_run(asked: GetRunRequest) -> GetRunResponse:
        if asked.run_id == PARENT_ID:
            return GetRunResponse(run=parent())
        return GetRunResponse(run=killed if server.requests["KillRun"] else child())

    server.answers["GetRun"] = get_run
    server.answers["KillRun"] = KillRunResponse(run=child())
    return command


def test_a_kill_is_sent_and_proved(killable: Command) -> None:
    done = killable("kill", "--yes", CHILD_ID)

    assert done.code == 0
    assert done.err == f"Successfully sent kill request to {CHILD_ID}.\n"
    assert done.out.startswith(f"{CHILD_ID} TERMINATED KILL: requested ")
    assert done.out.endswith(", confirmed +0.120 s\n")


def test_without_a_terminal_nothing_is_killed_unasked(
    killable: Command, server: ScriptedServer
) -> None:
    done = killable("kill", CHILD_ID)

    assert done.code == 2
    assert CHILD_ID in done.err
    assert "--yes kills without asking" in done.err
    assert not server.requests["KillRun"]


@pytest.mark.parametrize("answer", ["\n", "n\n", "", "what\n"])
def test_anything_but_yes_is_no(
    answer: str, killable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", _Keyboard(answer))

    done = killable("kill", CHILD_ID)

    assert done.code == 1
    assert done.err.endswith("Kill 1 run? [y/N] error: nothing was killed\n")
    assert not server.requests["KillRun"]


def test_yes_is_asked_for_all_targets_at_once(
    killable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", _Keyboard("y\n"))

    done = killable("kill", "--no-wait", CHILD_ID, PARENT_ID)

    assert done.code == 0
    assert "Kill 2 runs and 18 of their children? [y/N] " in done.err
    assert [asked.run_id for asked in server.requests["KillRun"]] == [CHILD_ID, PARENT_ID]


def test_a_run_that_has_ended_is_a_conflict(command: Command, server: ScriptedServer) -> None:
    server.answers["KillRun"] = Refused(
        grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_ALLOWED", "The run has ended."
    )

    done = command("kill", "--yes", CHILD_ID)

    assert (done.code, done.err) == (5, "error: The run has ended.\n")


def test_a_proof_that_does_not_come_is_a_timeout(command: Command, server: ScriptedServer) -> None:
    run = Run(run_id=CHILD_ID, state=RunState.RUN_STATE_RUNNING)
    server.answers["GetRun"] = GetRunResponse(run=run)
    server.answers["KillRun"] = KillRunResponse(run=run)
    server.answers["WatchRun"] = [HangUntilCancelled()]

    done = command("kill", "--yes", "--timeout", "0.05", CHILD_ID)

    assert done.code == 7
    assert "is still RUNNING after 0.05 seconds" in done.err
