from pathlib import Path

import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, child
from support.scripted_server import ScriptedServer
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    CreateRunRequest,
    CreateRunResponse,
    GetRunResponse,
)


@pytest.fixture(autouse=True)
def ended(command: Command, server: ScriptedServer) -> Run:
    """The child has failed, and had a secret."""
    assert command  # which comes first, with runs of its own
    run = child()
    run.state = RunState.RUN_STATE_FAILED
    run.launch.environment.update({"DB_PASSWORD": "***"})
    server.answers["GetRun"] = GetRunResponse(run=run)

    def create(asked: CreateRunRequest) -> CreateRunResponse:
        return CreateRunResponse(run=asked.run)

    server.answers["CreateRun"] = create
    return run


def test_a_run_is_resumed_with_its_secret_from_a_file(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "secrets").write_text("DB_PASSWORD=hidden\n", "utf-8")

    done = command("resume", "-d", "--env-file", str(tmp_path / "secrets"), CHILD_ID)

    asked = server.requests["CreateRun"][0].run
    assert done.code == 0
    assert done.out.startswith(f"Run {asked.run_id} submitted")
    assert asked.resumed_run_id == CHILD_ID
    assert dict(asked.launch.environment) == {"DB_PASSWORD": "hidden"}


def test_without_its_secret_nothing_is_started(command: Command, server: ScriptedServer) -> None:
    done = command("resume", CHILD_ID)

    assert done.code == 2
    assert "needed again: --env DB_PASSWORD=…" in done.err
    assert not server.requests["CreateRun"]


def test_a_named_order_is_resumed_once(command: Command, server: ScriptedServer) -> None:
    for _ in range(2):
        command("resume", "-d", "--env", "DB_PASSWORD=x", "--request-id", "again", CHILD_ID)

    first, again = (asked.run.run_id for asked in server.requests["CreateRun"])
    assert first == again
