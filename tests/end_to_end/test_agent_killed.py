"""Work that goes on whatever of ours dies, and ends without a trace when it is told to."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.chance import seeded
from support.eventually import eventually
from support.instants import instant
from support.private_server import has_ended
from support.whole_installation import WholeInstallation, done
from trackside_runner_local.processes import (
    Process,
    ProcessGoneError,
    identify,
    marked,
    send,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

Launch = Callable[..., str]

COUNTS = "for i in $(seq 600); do echo line $i; sleep 0.03; done; exit 7"
UNSEEN = None
"""The exit code of a command that lost its supervisors, on a system that does not tell it."""

RESISTS = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
is_bare = False
for is_bare in (False, True, False, True):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
else:
    is_bare = False
os.close(os.open(f"{sys.argv[1]}/{os.getpid()}", os.O_CREAT))
if is_bare:
    os.execve("/bin/sh", ["sh", "-c", "echo up; exec sleep 600"], {})
os.write(1, b"up\\n")
time.sleep(600)
"""
"""Five processes that ignore signals, four in sessions of their own, two without environment."""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home")
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """Where programs say which processes they are."""
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


@pytest.fixture
def launch(installation: WholeInstallation) -> Iterator[Launch]:
    run_ids: list[str] = []

    def make(*words: str) -> str:
        said = installation.command("run", "--detach", "-o", "name", "--", *words).out
        run_ids.append(said.split()[0])
        return run_ids[-1]

    yield make
    for run_id in run_ids:
        for process in marked(f"TRACKSIDE_RUN_ID={run_id}"):
            send(process, signal.SIGKILL)


def living(pids: Path) -> set[Process]:
    """Return those of the processes that still run, whatever their environment says."""
    found: set[Process] = set()
    for path in pids.iterdir():
        with suppress(ProcessGoneError):
            found.add(identify(int(path.name)))
    return found


def described(installation: WholeInstallation, run_id: str) -> dict[str, Any]:
    return json.loads(installation.command("describe", run_id, "-o", "json").out)["run"]


def supervisors_of(installation: WholeInstallation, run_id: str) -> list[Process]:
    folder = installation.home / "agent" / "runs" / run_id / "runner"
    start = json.loads((folder / "start.json").read_text())
    state = json.loads((folder / "state.json").read_text())
    return [Process(*one) for one in (start["standby"], start["supervisor"], state["supervisor"])]


def lines_of(installation: WholeInstallation, run_id: str) -> list[str]:
    return installation.command("logs", run_id).out.splitlines()


def test_ten_kills_of_agent_and_server_together_cost_a_run_nothing(
    installation: WholeInstallation, launch: Launch
) -> None:
    run_id = launch("sh", "-c", COUNTS)

    for kills in range(10):
        eventually(lambda: len(lines_of(installation, run_id)) > 20 * kills)  # noqa: B023
        installation.kill_agent()
        installation.kill()
        installation.start()
    run = eventually(lambda: run_in_state(installation, run_id, "RUN_STATE_FAILED"), within=60)

    assert run["exitCode"] == 7
    assert lines_of(installation, run_id) == [f"line {number}" for number in range(1, 601)]


def test_kills_of_everything_of_ours_lose_no_output(
    installation: WholeInstallation, launch: Launch, tmp_path: Path
) -> None:
    waits = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"  # what ends unseen is not known
    run_id = launch("sh", "-c", COUNTS.replace("exit 7", f"{waits}; exit 7"))

    for kills in range(3):
        eventually(lambda: len(lines_of(installation, run_id)) > 60 * kills)  # noqa: B023
        installation.kill_agent()
        installation.kill()
        for supervisor in supervisors_of(installation, run_id):
            send(supervisor, signal.SIGKILL)
        installation.start()
    lines = [f"line {number}" for number in range(1, 601)]
    eventually(lambda: lines_of(installation, run_id) == lines, within=100)
    (tmp_path / "go").touch()
    run = eventually(lambda: sealed(described(installation, run_id)))

    assert lines_of(installation, run_id) == lines
    assert run.get("exitCode", UNSEEN) in (7, UNSEEN)


def test_kill_leaves_nothing_of_a_tree_that_resists_and_proves_it(
    installation: WholeInstallation, launch: Launch, pids: Path
) -> None:
    run_id = launch("python3", "-c", RESISTS, str(pids))
    eventually(lambda: lines_of(installation, run_id) == ["up"] * 5)
    assert len(living(pids)) == 5

    killed = installation.command("kill", "--yes", run_id)

    assert killed.code == 0
    assert living(pids) == set()
    (request,) = described(installation, run_id)["controlRequests"]
    steps = ["requestTime", "deliverTime", "acknowledgeTime", "confirmTime"]
    times = [instant(request[step]) for step in steps]
    assert times == sorted(times)


def test_run_is_killing_while_its_agent_is_away_and_ended_when_it_is_back(
    installation: WholeInstallation, launch: Launch, pids: Path
) -> None:
    run_id = launch("python3", "-c", RESISTS, str(pids))
    eventually(lambda: lines_of(installation, run_id) == ["up"] * 5)
    installation.kill_agent()

    following = installation.open("kill", "--yes", run_id)
    run = eventually(lambda: killing(described(installation, run_id)))
    assert run["state"] == "RUN_STATE_RUNNING"
    assert len(living(pids)) == 5

    installation.start_agent()
    run = eventually(lambda: run_in_state(installation, run_id, "RUN_STATE_TERMINATED"))
    assert living(pids) == set()
    assert run["controlRequests"][0]["confirmTime"]
    assert following.wait(60) == 0


@pytest.mark.parametrize("seed", range(2))
def test_order_that_is_given_again_while_all_are_killed_starts_once(
    installation: WholeInstallation, tmp_path: Path, seed: int
) -> None:
    chance = seeded(seed)
    script = f"set -C; : > {tmp_path}/start || : > {tmp_path}/second; exit 7"
    words = ["run", "-d", "-o", "name", "--request-id", "once", "--", "sh", "-c", script]
    said: list[str] = []

    for _ in range(6):
        ordering = installation.open(*words)
        has_ended(ordering, within=chance.uniform(0.3, 1.5))
        if chance.random() < 0.7:
            installation.kill_agent()
        installation.kill()
        said.append(done(ordering).out)
        installation.start()
        installation.start_agent()
    said.append(installation.command(*words).out)

    (run_id,) = {one.split()[0] for one in said if one}
    run = eventually(lambda: run_in_state(installation, run_id, "RUN_STATE_FAILED"))
    assert run["exitCode"] == 7
    assert sorted(path.name for path in tmp_path.glob("s*")) == ["start"]


def run_in_state(installation: WholeInstallation, run_id: str, state: str) -> dict[str, Any] | None:
    run = described(installation, run_id)
    return run if run["state"] == state else None


def sealed(run: dict[str, Any]) -> dict[str, Any] | None:
    return run if run.get("sealed") else None


def killing(run: dict[str, Any]) -> dict[str, Any] | None:
    kinds = [condition["kind"] for condition in run.get("conditions", ())]
    return run if "CONDITION_KIND_KILLING" in kinds else None
