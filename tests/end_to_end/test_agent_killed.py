"""Work that goes on whatever of ours dies, and ends without a trace when it is told to."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.whole_installation import WholeInstallation
from trackside_agent import detached
from trackside_runner_local.processes import Process, marked, send

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

Launch = Callable[..., str]

COUNTS = "for i in $(seq 600); do echo line $i; sleep 0.03; done; exit 7"
RESISTS = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
os.write(1, b"up\\n")
time.sleep(600)
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home")
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def launch(installation: WholeInstallation) -> Iterator[Launch]:
    run_ids: list[str] = []

    def make(*words: str) -> str:
        said = installation.command("run", "--detach", "-o", "name", "--", *words).out
        run_ids.append(said.split()[0])
        return run_ids[-1]

    yield make
    for process in (process for run_id in run_ids for process in processes_of(run_id)):
        send(process, signal.SIGKILL)


def processes_of(run_id: str) -> set[Process]:
    return marked(f"TRACKSIDE_RUN_ID={run_id}")


def described(installation: WholeInstallation, run_id: str) -> dict[str, Any]:
    return json.loads(installation.command("describe", run_id, "-o", "json").out)["run"]


def kill_agent(installation: WholeInstallation) -> None:
    agent = eventually(lambda: detached.find_running(installation.home))
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: detached.find_running(installation.home) is None)


def lines_of(installation: WholeInstallation, run_id: str) -> list[str]:
    return installation.command("logs", run_id).out.splitlines()


def test_ten_kills_of_agent_and_server_together_cost_a_run_nothing(
    installation: WholeInstallation, launch: Launch
) -> None:
    run_id = launch("sh", "-c", COUNTS)

    for kills in range(10):
        eventually(lambda: len(lines_of(installation, run_id)) > 20 * kills)  # noqa: B023
        kill_agent(installation)
        installation.kill()
        installation.start()
    run = eventually(lambda: run_in_state(installation, run_id, "RUN_STATE_FAILED"), within=60)

    assert run["exitCode"] == 7
    assert lines_of(installation, run_id) == [f"line {number}" for number in range(1, 601)]


def test_kill_leaves_nothing_of_a_tree_that_resists_and_proves_it(
    installation: WholeInstallation, launch: Launch
) -> None:
    run_id = launch("python3", "-c", RESISTS)
    eventually(lambda: lines_of(installation, run_id) == ["up"] * 5)
    assert len(processes_of(run_id)) == 5

    killed = installation.command("kill", "--yes", run_id)

    assert killed.code == 0
    assert processes_of(run_id) == set()
    (request,) = described(installation, run_id)["controlRequests"]
    steps = ["requestTime", "deliverTime", "acknowledgeTime", "confirmTime"]
    assert [request[step] for step in steps] == sorted(request[step] for step in steps)


def test_run_is_killing_while_its_agent_is_away_and_ended_when_it_is_back(
    installation: WholeInstallation, launch: Launch
) -> None:
    run_id = launch("python3", "-c", RESISTS)
    eventually(lambda: lines_of(installation, run_id) == ["up"] * 5)
    kill_agent(installation)

    following = installation.open("kill", "--yes", run_id)
    run = eventually(lambda: killing(described(installation, run_id)))
    assert run["state"] == "RUN_STATE_RUNNING"
    assert len(processes_of(run_id)) == 5

    detached.start_detached(installation.home, installation.address)
    run = eventually(lambda: run_in_state(installation, run_id, "RUN_STATE_TERMINATED"))
    assert processes_of(run_id) == set()
    assert run["controlRequests"][0]["confirmTime"]
    assert following.wait(30) == 0


def run_in_state(installation: WholeInstallation, run_id: str, state: str) -> dict[str, Any] | None:
    run = described(installation, run_id)
    return run if run["state"] == state else None


def killing(run: dict[str, Any]) -> dict[str, Any] | None:
    kinds = [condition["kind"] for condition in run.get("conditions", ())]
    return run if "CONDITION_KIND_KILLING" in kinds else None
