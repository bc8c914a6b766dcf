"""A launched program that finds no server is a part of its run all the same, and in time."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually
from support.plain_client import PlainClient
from support.whole_installation import WholeInstallation
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

REPORTS: Final = """
import os, sys, time
print("up", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.02)
import trackside
with trackside.start_run() as run:
    for number in range(20):
        run.info(f"said {number}")
        run.task(f"task {number}", process="task").end()
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    # A launched program has its spool where one without a home has it.
    installation = WholeInstallation(tmp_path / "home", XDG_DATA_HOME=str(tmp_path / "data"))
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.mark.parametrize("is_agent_killed", [False, True], ids=["agent stays", "agent killed"])
def test_what_a_program_said_without_a_server_is_in_the_run_before_its_seal(
    installation: WholeInstallation, tmp_path: Path, *, is_agent_killed: bool
) -> None:
    words = ["run", "-d", "-o", "name", "--", sys.executable, "-c", REPORTS, str(tmp_path / "go")]
    run_id = installation.command(*words).out.split()[0]
    eventually(lambda: "up" in installation.command("logs", run_id).out)
    installation.kill()
    (tmp_path / "go").touch()
    folder = installation.home / "agent" / "runs" / run_id
    eventually((folder / "ended").exists)
    if is_agent_killed:
        installation.kill_agent()

    installation.start()

    token = (installation.home / "token").read_text()
    with PlainClient(installation.address, token) as client:
        run = eventually(lambda: sealed(client.run(run_id)))
        changes = list(client.changes(run_id))
        said = [entry.message for _, entry in client.log_entries(run_id) if entry.stream == "log"]
    assert run.state == RunState.RUN_STATE_COMPLETED
    assert run.task_counts.succeeded == 20
    assert said == [f"said {number}" for number in range(20)]
    assert [change.run.sealed for change in changes if change.HasField("run")][-1]
    assert changes[-1].HasField("run")


def sealed(run: Run) -> Run | None:
    return run if run.sealed else None
