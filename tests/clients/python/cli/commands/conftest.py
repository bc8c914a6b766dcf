from pathlib import Path

import grpc
import pytest

from support.command_line import Command, Done
from support.example_runs import child, failed_child, parent
from support.scripted_server import Refused, ScriptedServer
from trackside.cli import main
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import GetRunRequest, GetRunResponse
from trackside_protos.servers.v1.servers_service_pb2 import GetServerResponse, Server


@pytest.fixture
def command(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """Runs a command line against the scripted server, which knows the example runs."""
    monkeypatch.setenv("TRACKSIDE_SERVER", server.address)
    monkeypatch.setenv("TRACKSIDE_TOKEN", "token-of-ann")
    monkeypatch.setenv("TRACKSIDE_HOME", str(tmp_path))
    known = {run.run_id: run for run in (parent(), child(), failed_child())}
    server.answers["GetRun"] = lambda asked: _get_run(known, asked)
    server.answers["GetServer"] = GetServerResponse(
        server=Server(subject="ann", role="admin", version="0.1.0", store="sqlite 3.40.1")
    )

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main.run(arguments)
        written = capsys.readouterr()
        return Done(code, written.out, written.err)

    return run


def _get_run(known: dict[str, Run], asked: GetRunRequest) -> GetRunResponse | Refused:
    if asked.run_id not in known:
        return Refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", "There is no such run.")
    return GetRunResponse(run=known[asked.run_id])
