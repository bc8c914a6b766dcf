"""An agent that stands still for longer than its lease is missed, and costs no run anything."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.plain_client import PlainClient
from support.programs import pause
from support.whole_installation import WholeInstallation
from trackside_agent import detached
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import ConditionKind, RunState

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(180)]

COUNTS = """
for i in $(seq 40); do echo line $i; sleep 0.05; done
until [ -e go ]; do sleep 0.05; done
echo line 41; touch over; exit 7
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home", TRACKSIDE_LEASE="1")
    installation.start()
    yield installation
    assert installation.stop() == 0


def test_stopped_agent_is_missed_and_tells_all_when_it_goes_on(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    token = (installation.home / "token").read_text()
    words = ["run", "-d", "-o", "name", "--workdir", str(tmp_path), "--", "sh", "-c", COUNTS]
    run_id = installation.command(*words).out.split()[0]
    eventually(lambda: installation.command("logs", run_id).out)
    agent = eventually(lambda: detached.find_running(installation.home))
    with PlainClient(installation.address, token) as client:
        pause(agent)
        try:
            (tmp_path / "go").touch()
            eventually((tmp_path / "over").exists)
            missed = eventually(lambda: disconnected(client.run(run_id)))
        finally:
            os.kill(agent, signal.SIGCONT)
        run = eventually(lambda: sealed(client.run(run_id)))
        lines = [entry.message for _, entry in client.log_entries(run_id)]

    assert missed.state == RunState.RUN_STATE_RUNNING
    assert (run.state, run.exit_code) == (RunState.RUN_STATE_FAILED, 7)
    assert lines == [f"line {number}" for number in range(1, 42)]
    assert not disconnected(run)


def disconnected(run: Run) -> Run | None:
    kinds = [condition.kind for condition in run.conditions]
    return run if ConditionKind.CONDITION_KIND_DISCONNECTED in kinds else None


def sealed(run: Run) -> Run | None:
    return run if run.sealed else None
