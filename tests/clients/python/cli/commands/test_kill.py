import io

import grpc
import pytest

from support.command_line import Command, Keyboard
from support.example_runs import CHILD_ID, FAILED_ID, PARENT_ID, at, child
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ControlResult, Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    ForceEndRunResponse,
    GetRunResponse,
    KillRunResponse,
    WatchRunResponse,
)


@pytest.fixture
def killable(command: Command, server: ScriptedServer) -> Command:
    """The child ends as soon as its kill was sent, with proof."""
    killed = child()
    killed.state = RunState.RUN_STATE_TERMINATED
    killed.control_requests.append(
        ControlRequest(action=RunAction.RUN_ACTION_KILL, request_time=at(1), confirm_time=at(0.88))
    )

    asked = child()
    asked.control_requests.append(
        ControlRequest(action=RunAction.RUN_ACTION_KILL, request_time=at(1))
    )
    server.answers["KillRun"] = KillRunResponse(run=asked)
    server.answers["WatchRun"] = [WatchRunResponse(changes=[RunChange(run=killed)], cursor="c")]
    return command


def test_a_kill_is_sent_and_proved(killable: Command) -> None:
    done = killable("kill", "--yes", CHILD_ID)

    assert done.code == 0
    sent, step = done.err.splitlines()
    assert sent == f"Successfully sent kill request to {CHILD_ID}."
    assert step.startswith(f"{CHILD_ID} requested ")
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


@pytest.mark.parametrize("answer", ["\n", "n\n", "what\n"])
def test_anything_but_yes_is_no(
    answer: str, killable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard(answer))

    done = killable("kill", CHILD_ID)

    assert done.code == 1
    assert done.err.endswith("Kill 1 run? [y/N] error: nothing was killed\n")
    assert not server.requests["KillRun"]


def test_who_leaves_a_question_is_not_left_behind_it(
    killable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard = Keyboard("")  # Ctrl-D
    monkeypatch.setattr("sys.stdin", keyboard)
    ended = killable("kill", CHILD_ID)
    monkeypatch.setattr(keyboard, "readline", _interrupt)
    interrupted = killable("kill", CHILD_ID)

    assert (ended.code, interrupted.code) == (1, 130)
    assert ended.err.endswith("Kill 1 run? [y/N] \nerror: nothing was killed\n")
    assert interrupted.err.endswith("Kill 1 run? [y/N] \n")
    assert not server.requests["KillRun"]


def _interrupt() -> str:
    raise KeyboardInterrupt


def test_yes_is_asked_for_all_targets_at_once(
    killable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("y\n"))

    done = killable("kill", "--no-wait", CHILD_ID, PARENT_ID)

    assert done.code == 0
    assert "Kill 2 runs and 18 of their children? [y/N] " in done.err
    assert [asked.run_id for asked in server.requests["KillRun"]] == [CHILD_ID, PARENT_ID]


def test_a_run_that_has_ended_is_a_conflict(command: Command, server: ScriptedServer) -> None:
    server.answers["KillRun"] = Refused(
        grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_ALLOWED", "The run has ended."
    )

    done = command("kill", "--yes", CHILD_ID)

    assert done.code == 5
    assert done.err.splitlines() == [
        f"error: {CHILD_ID}: The run has ended.",
        f"hint: `trackside describe {CHILD_ID}` shows its state and what was asked of it",
    ]


def test_a_proof_that_does_not_come_is_a_timeout(command: Command, server: ScriptedServer) -> None:
    run = Run(run_id=CHILD_ID, state=RunState.RUN_STATE_RUNNING)
    server.answers["GetRun"] = GetRunResponse(run=run)
    server.answers["KillRun"] = KillRunResponse(run=run)
    server.answers["WatchRun"] = [HangUntilCancelled()]

    done = command("kill", "--yes", "--timeout", "0.05", CHILD_ID)

    assert done.code == 7
    assert "is still RUNNING after 0.05 seconds" in done.err


def test_what_is_proved_at_once_needs_no_watch(command: Command, server: ScriptedServer) -> None:
    ended = Run(run_id=CHILD_ID, state=RunState.RUN_STATE_TERMINATED)
    server.answers["KillRun"] = KillRunResponse(run=ended)

    done = command("kill", "--yes", CHILD_ID)

    assert (done.code, done.out) == (0, f"{CHILD_ID} TERMINATED\n")
    assert not server.requests["WatchRun"]


def test_runs_may_be_named_on_stdin(
    killable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{CHILD_ID}\n\n{PARENT_ID}\n"))

    killable("kill", "--yes", "--no-wait", "-")

    assert [asked.run_id for asked in server.requests["KillRun"]] == [CHILD_ID, PARENT_ID]


def test_a_plan_is_shown_and_nothing_is_sent(killable: Command, server: ScriptedServer) -> None:
    done = killable("kill", "--dry-run", CHILD_ID, PARENT_ID)

    assert done.code == 0
    assert CHILD_ID in done.out
    assert done.err == "Would kill 2 runs and 18 of their children; nothing was killed.\n"
    assert not server.requests["KillRun"]


def test_a_plan_says_what_would_be_refused(killable: Command) -> None:
    done = killable("kill", "--dry-run", FAILED_ID)

    assert done.code == 5
    assert f"{FAILED_ID} is FAILED, and KILL is not allowed now.\n" in done.err


def test_a_forced_end_warns_before_it_asks(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("n\n"))

    done = command("kill", "--force-end", CHILD_ID)

    assert done.code == 1
    assert "processes of them may be left" in done.err
    assert done.err.endswith("Force the end of 1 run? [y/N] error: nothing was ended by force\n")
    assert not server.requests["ForceEndRun"]


def test_a_forced_end_is_told_as_unconfirmed(command: Command, server: ScriptedServer) -> None:
    asked = ControlRequest(
        action=RunAction.RUN_ACTION_KILL,
        request_time=at(60),
        result=ControlResult.CONTROL_RESULT_UNCONFIRMED,
    )
    ended = Run(run_id=CHILD_ID, state=RunState.RUN_STATE_TERMINATED, control_requests=[asked])
    server.answers["ForceEndRun"] = ForceEndRunResponse(run=ended)

    done = command("kill", "--yes", "--force-end", CHILD_ID)

    assert (done.code, done.err) == (0, f"Ended {CHILD_ID} without proof.\n")
    assert done.out.endswith(", ended without proof\n")
