from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, child, parent
from support.scripted_server import Cut, HangUntilCancelled, ScriptedServer
from trackside.cli import follow
from trackside.cli.commands.watch import Enough
from trackside.client.errors import CallTimeoutError
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Progress, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    RunListChange,
    WatchRunResponse,
    WatchRunsResponse,
)


def _changes(*runs: Run) -> list[WatchRunResponse]:
    return [
        WatchRunResponse(changes=[RunChange(run=run)], cursor=f"c{index}")
        for index, run in enumerate(runs)
    ]


def _run(state: RunState.ValueType, percent: float = 60.0, *, sealed: bool = False) -> Run:
    return Run(run_id=CHILD_ID, state=state, progress=Progress(percent=percent), sealed=sealed)


_RUNNING = _run(RunState.RUN_STATE_RUNNING)
_FAILED = _run(RunState.RUN_STATE_FAILED, sealed=True)
_COMPLETED = _run(RunState.RUN_STATE_COMPLETED, sealed=True)


def test_off_a_terminal_each_change_is_one_line(command: Command, server: ScriptedServer) -> None:
    server.answers["WatchRun"] = _changes(_run(RunState.RUN_STATE_STOPPING), _COMPLETED)

    done = command("watch", CHILD_ID)

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["RUNNING", "STOPPING", "COMPLETED"]


def test_an_interruption_of_the_connection_is_not_seen_in_the_lines(
    command: Command, server: ScriptedServer
) -> None:
    stopping = _changes(_run(RunState.RUN_STATE_STOPPING))
    server.scripts["WatchRun"] = [[*stopping, Cut()], _changes(_COMPLETED)]

    done = command("watch", CHILD_ID)

    assert [line for line in done.out.splitlines() if line.isupper()] == [
        "RUNNING",
        "STOPPING",
        "COMPLETED",
    ]


@pytest.mark.parametrize(("run", "code"), [(_COMPLETED, 0), (_FAILED, 10)])
def test_the_exit_status_is_the_runs_when_asked_for(
    run: Run, code: int, command: Command, server: ScriptedServer
) -> None:
    server.answers["WatchRun"] = _changes(run)

    assert command("watch", "--exit-status", CHILD_ID).code == code
    assert command("watch", CHILD_ID).code == 0


def test_watching_ends_at_a_state(command: Command, server: ScriptedServer) -> None:
    server.answers["WatchRun"] = [
        *_changes(_run(RunState.RUN_STATE_STOPPING)),
        HangUntilCancelled(),
    ]

    done = command("watch", "--until", "stopping", CHILD_ID)

    assert (done.code, done.out.splitlines()[-1]) == (0, "STOPPING")


def test_watching_ends_in_time(command: Command, server: ScriptedServer) -> None:
    server.answers["WatchRun"] = [HangUntilCancelled()]

    done = command("watch", "--timeout", "0.05", CHILD_ID)

    assert (done.code, done.err) == (7, f"error: run {CHILD_ID} is still RUNNING\n")


def test_a_run_that_ended_in_time_is_no_timeout() -> None:
    enough, until = Enough(None, -1.0), Enough("terminated", -1.0)
    idle = _run(RunState.RUN_STATE_IDLE)

    assert enough(_COMPLETED)
    assert until(idle)

    enough.check(_COMPLETED)
    enough.check(idle)
    with pytest.raises(CallTimeoutError):
        until.check(idle)


@contextmanager
def _interrupted_after(told: list[WatchRunsResponse]) -> Generator[Iterator[WatchRunsResponse]]:
    def responses() -> Iterator[WatchRunsResponse]:
        yield from told
        raise KeyboardInterrupt

    yield responses()


def test_without_a_run_the_list_is_watched(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = child()
    ended.state = RunState.RUN_STATE_COMPLETED
    told = [
        WatchRunsResponse(present=[child(), parent()]),
        WatchRunsResponse(changes=[RunListChange(run=ended)]),
        WatchRunsResponse(changes=[RunListChange(left_run_id=CHILD_ID)]),
    ]

    def watch_runs(*_: object) -> AbstractContextManager[Iterator[WatchRunsResponse]]:
        return _interrupted_after(told)

    monkeypatch.setattr(follow, "watch_runs", watch_runs)

    done = command("watch", "--all")

    assert done.code == 130
    assert [line.split(",")[0] for line in done.out.splitlines()] == [
        f"{PARENT_ID} digits sweep RUNNING",
        f"{CHILD_ID} epsilon=0.02 RUNNING",
        f"{CHILD_ID} epsilon=0.02 COMPLETED 1 min 5 s",
    ]
