import grpc
import pytest

from support.command_line import Command, Keyboard
from support.example_runs import CHILD_ID, FAILED_ID, PARENT_ID, at, child, lasting
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ControlResult, Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    StopRunRequest,
    StopRunResponse,
    WatchRunResponse,
)


def _asked(**steps: object) -> ControlRequest:
    return ControlRequest(
        action=RunAction.RUN_ACTION_STOP,
        requester="ann",
        request_time=at(60),
        grace_duration=lasting(30),
        **steps,  # pyright: ignore[reportArgumentType]  # the times of steps
    )


def _child(state: RunState.ValueType, asked: ControlRequest) -> Run:
    run = child()
    run.state = state
    run.control_requests.append(asked)
    return run


@pytest.fixture
def stoppable(command: Command, server: ScriptedServer) -> Command:
    """The child does not clean up in time, and is killed."""
    delivered = {"deliver_time": at(59.9), "acknowledge_time": at(59.8)}
    escalated = {**delivered, "escalate_time": at(29.8)}
    ended = {
        **escalated,
        "confirm_time": at(29.5),
        "result": ControlResult.CONTROL_RESULT_ENDED,
    }
    running = RunState.RUN_STATE_RUNNING
    server.answers["StopRun"] = StopRunResponse(run=_child(running, _asked()))
    server.answers["WatchRun"] = [
        WatchRunResponse(changes=[RunChange(run=run)], cursor="c")
        for run in (
            _child(running, _asked(**delivered)),
            _child(running, _asked(**escalated)),
            _child(RunState.RUN_STATE_TERMINATED, _asked(**ended)),
        )
    ]
    return command


def test_a_stop_is_followed_step_by_step_to_its_proof(stoppable: Command) -> None:
    done = stoppable("stop", "--yes", "--grace", "30s", CHILD_ID)

    said = done.err.splitlines()
    assert done.code == 0
    assert said[0] == f"Successfully sent stop request to {CHILD_ID}."
    assert said[1].endswith(", 30 s to clean up")
    assert said[2:] == [
        f"{CHILD_ID} delivered +0.100 s",
        f"{CHILD_ID} acknowledged +0.200 s",
        f"{CHILD_ID} escalated +30.200 s",
    ]
    assert done.out.startswith(f"{CHILD_ID} TERMINATED STOP by ann: requested ")
    assert done.out.endswith(", escalated +30.200 s, confirmed +30.500 s\n")


def test_the_grace_time_is_sent(stoppable: Command, server: ScriptedServer) -> None:
    stoppable("stop", "--yes", "--no-wait", "--grace", "1m30s", CHILD_ID)
    stoppable("stop", "--yes", "--no-wait", CHILD_ID)

    asked: list[StopRunRequest] = server.requests["StopRun"]
    assert asked[0].grace_duration.seconds == 90
    assert not asked[1].HasField("grace_duration")


def test_a_grace_time_that_is_none_is_a_usage_error(
    stoppable: Command, server: ScriptedServer
) -> None:
    done = stoppable("stop", "--yes", "--grace", "soon", CHILD_ID)

    assert (done.code, "'soon' is no duration; 30s, 10m" in done.err) == (2, True)
    assert not server.requests["StopRun"]


def test_a_stop_that_found_nothing_says_so(command: Command, server: ScriptedServer) -> None:
    nothing = _asked(confirm_time=at(59), result=ControlResult.CONTROL_RESULT_NOTHING_FOUND)
    ended = _child(RunState.RUN_STATE_TERMINATED, nothing)
    server.answers["StopRun"] = StopRunResponse(run=ended)

    done = command("stop", "--yes", CHILD_ID)

    assert done.out.endswith("confirmed +1.000 s, there was nothing left to end\n")


def test_the_children_of_a_parent_are_counted_before_the_question(
    stoppable: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("n\n"))

    done = stoppable("stop", PARENT_ID)

    assert done.code == 1
    assert done.err.endswith(
        "Stop 1 run and 18 of its children? [y/N] error: nothing was stopped\n"
    )
    assert not server.requests["StopRun"]


def test_a_refusal_of_one_run_does_not_spare_the_others(
    stoppable: Command, server: ScriptedServer
) -> None:
    accepted = StopRunResponse(run=child())
    refused = Refused(
        grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_ALLOWED", "The run has ended."
    )
    server.answers["StopRun"] = lambda asked: refused if asked.run_id == FAILED_ID else accepted

    done = stoppable("stop", "--yes", "--no-wait", FAILED_ID, CHILD_ID)

    assert done.code == 5
    assert done.err.splitlines() == [
        f"error: {FAILED_ID}: The run has ended.",
        f"hint: `trackside describe {FAILED_ID}` shows its state and what was asked of it",
        f"Successfully sent stop request to {CHILD_ID}.",
    ]


def test_who_no_longer_waits_is_told_that_the_request_stays(
    stoppable: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trackside.cli.feed.Feed.within", interrupted)

    done = stoppable("stop", "--yes", CHILD_ID)

    assert done.code == 130
    assert done.err.endswith("No longer waiting; what was asked to stop will still end.\n")
