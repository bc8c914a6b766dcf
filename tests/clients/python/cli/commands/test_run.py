import json
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from support.command_line import Command
from support.example_runs import failed_child
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside.cli import follow
from trackside.cli.end_of_run import EndOfRun
from trackside_protos.live.v1.live_service_pb2 import WatchLiveResponse
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Children, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    CreateRunRequest,
    CreateRunResponse,
    RunListChange,
    WatchRunResponse,
    WatchRunsResponse,
)


def _create(asked: CreateRunRequest) -> CreateRunResponse:
    run = Run()
    run.CopyFrom(asked.run)
    run.state = RunState.RUN_STATE_PENDING
    return CreateRunResponse(run=run)


def _live(
    state: RunState.ValueType, *messages: str, exit_code: int | None = None
) -> WatchLiveResponse:
    run = Run(state=state, exit_code=exit_code, sealed=exit_code is not None)
    return WatchLiveResponse(
        run=WatchRunResponse(changes=[RunChange(run=run)]), logs=_logs(*messages), cursor="c"
    )


def _logs(*messages: str) -> WatchLogsResponse:
    block = LogBlock(first_sequence=1, entries=[LogEntry(message=text) for text in messages])
    return WatchLogsResponse(blocks=[block] if messages else [])


@pytest.fixture(autouse=True)
def created(server: ScriptedServer) -> None:
    server.answers["CreateRun"] = _create
    server.answers["WatchLive"] = [
        _live(RunState.RUN_STATE_RUNNING, "hello", "world"),
        _live(RunState.RUN_STATE_FAILED, exit_code=3),
    ]


def test_a_followed_run_writes_its_output_and_gives_its_exit_code(command: Command) -> None:
    done = command("run", "--", "python", "fit.py", "--fast")

    run_id = done.err.split()[1]
    assert done.code == 3
    assert done.out == "hello\nworld\n"
    assert done.err.splitlines() == [
        f"Run {run_id} submitted: trackside describe {run_id}",
        "PENDING",
        "RUNNING",
        "FAILED exit 3",
    ]


def test_what_a_run_has_said_is_written_also_when_its_seal_came_before(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_looked = threading.Event()
    is_over = EndOfRun.is_over

    def look(end: EndOfRun, run: Run, *, told_all: bool) -> bool:
        over = is_over(end, run, told_all=told_all)
        if run.sealed:
            has_looked.set()
        return over

    def seal_first(_: object) -> Iterator[WatchLiveResponse]:
        yield _live(RunState.RUN_STATE_COMPLETED, exit_code=0)
        has_looked.wait(60)
        yield WatchLiveResponse(logs=_logs("the end"), cursor="c")

    monkeypatch.setattr(EndOfRun, "is_over", look)
    server.answers["WatchLive"] = seal_first

    assert command("run", "seq", "1000000").out == "the end\n"


def test_a_command_with_options_needs_no_dashes(command: Command, server: ScriptedServer) -> None:
    command("run", "--detach", "ls", "-l")

    assert list(server.requests["CreateRun"][0].run.launch.command) == ["ls", "-l"]


def test_a_detached_run_is_only_announced(command: Command, server: ScriptedServer) -> None:
    done = command("run", "-d", "ls")

    run_id = server.requests["CreateRun"][0].run.run_id
    assert done.code == 0
    assert done.out == f"Run {run_id} submitted: trackside describe {run_id}\n"
    assert not server.requests["WatchLive"]


def test_programs_get_the_id_or_the_run(command: Command) -> None:
    named = command("run", "-d", "-o", "name", "ls")
    as_json = command("run", "-d", "-o", "json", "ls")

    assert len(named.out.strip()) == 16
    assert json.loads(as_json.out)["run"]["launch"]["command"] == ["ls"]


def test_a_run_starts_where_the_command_was_typed(
    command: Command, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/bin:/of/mine")

    command("run", "-d", "ls")

    launch = server.requests["CreateRun"][0].run.launch
    assert launch.work_directory == str(tmp_path)
    assert launch.environment["PATH"] == "/bin:/of/mine"


def test_a_folder_is_named_from_where_the_command_was_typed(
    command: Command, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    command("run", "-d", "--workdir", "data", "ls")
    command("run", "-d", "--workdir", "/srv", "ls")

    folders = [asked.run.launch.work_directory for asked in server.requests["CreateRun"]]
    assert folders == [str(tmp_path / "data"), "/srv"]


def test_in_a_folder_that_is_gone_nothing_is_started(
    command: Command, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    refused = command("run", "-d", "ls")
    taken = command("run", "-d", "--workdir", "/srv", "ls")

    assert refused.code == 2
    assert "the folder that this is called in does not exist any more" in refused.err
    assert taken.code == 0
    assert len(server.requests["CreateRun"]) == 1


def test_an_interrupted_follower_detaches_and_says_so(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow.Follower, "take", interrupted)

    done = command("run", "sleep", "100")

    run_id = done.err.split()[1]
    assert done.code == 130
    assert f"Detached; run {run_id} goes on.\n" in done.err


def test_a_sweep_tells_of_each_child(command: Command, server: ScriptedServer) -> None:
    parent = Run(
        state=RunState.RUN_STATE_FAILED,
        is_parent=True,
        sealed=True,
        state_message="1 of 1 failed",
        children=Children(total_count=1),
    )
    server.answers["WatchRuns"] = [
        WatchRunsResponse(changes=[RunListChange(run=failed_child())], cursor="c"),
        HangUntilCancelled(),
    ]
    server.answers["WatchRun"] = WatchRunResponse(changes=[RunChange(run=parent)], cursor="c")

    done = command("run", "--sweep", "epsilon=0.5", "fit", "{epsilon}")

    assert done.code == 10
    assert "epsilon=0.5 FAILED EXIT_CODE, exit 3, 12 s, ValueError" in done.err
    assert "\nFAILED 1 of 1 failed\n" in done.err


@pytest.mark.parametrize("options", [["--sweep", "a"], ["--param", "a"], ["--env", "=1"]])
def test_an_assignment_that_is_none_is_a_usage_error(
    options: list[str], command: Command, server: ScriptedServer
) -> None:
    done = command("run", *options, "ls")

    assert (done.code, "is not KEY=VALUE" in done.err) == (2, True)
    assert not server.requests["CreateRun"]


def test_a_command_is_needed(command: Command) -> None:
    assert command("run").code == 2


def test_what_a_server_refuses_is_told_with_its_field(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["CreateRun"] = Refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "The request is wrong.",
        fields={"run.runner": "there is none of this name"},
    )

    done = command("run", "--runner", "moon", "ls")

    assert done.code == 2
    assert "  run.runner: there is none of this name\n" in done.err


def test_limits_are_read_from_the_command_line(command: Command, server: ScriptedServer) -> None:
    limits = ["--time-limit", "1h30m", "--memory-limit", "2GB", "--machine-type", "big"]

    command("run", "-d", *limits, "ls")

    launch = server.requests["CreateRun"][0].run.launch
    assert launch.time_limit_duration.seconds == 5400
    assert (launch.memory_limit_bytes, launch.machine_type) == (2_000_000_000, "big")


def test_an_environment_file_that_cannot_be_read_starts_nothing(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    done = command("run", "--env-file", str(tmp_path / "nowhere"), "ls")

    assert done.code == 2
    assert done.err.splitlines()[0] == (
        f"error: environment file {tmp_path}/nowhere: no such file or directory"
    )
    assert not server.requests["CreateRun"]


def test_an_order_with_a_request_id_is_the_same_run_each_time(
    command: Command, server: ScriptedServer
) -> None:
    for request_id in ("nightly-7", "nightly-7", "nightly-8"):
        command("run", "-d", "--request-id", request_id, "ls")

    first, again, other = (asked.run.run_id for asked in server.requests["CreateRun"])
    assert first == again != other


def test_an_order_that_was_taken_before_says_so(command: Command, server: ScriptedServer) -> None:
    def taken_before(asked: CreateRunRequest) -> CreateRunResponse:
        return CreateRunResponse(run=asked.run, existed=True)

    server.answers["CreateRun"] = taken_before

    done = command("run", "-d", "--request-id", "nightly-7", "ls")

    assert done.code == 0
    assert done.err.startswith("This order was taken before; run ")


@pytest.mark.parametrize(
    "words",
    [
        ["printf", "caf\udce9"],
        ["--env", "NAME=caf\udce9", "true"],
        ["--workdir", "/caf\udce9", "true"],
        ["--param", "x=caf\udce9", "true"],
    ],
)
def test_what_is_not_utf_8_is_named(
    command: Command, server: ScriptedServer, words: list[str]
) -> None:
    done = command("run", "-d", *words)

    assert done.code == 2
    assert "caf\\xe9' is not UTF-8" in done.err
    assert not server.requests["CreateRun"]
