"""Every run ends as its program did, whatever of ours is killed and whenever."""

import json
import random
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import pytest

from support.agents import new_run_id
from support.chance import seeded
from support.eventually import eventually
from support.plain_client import PlainClient
from support.whole_installation import WholeInstallation
from trackside_protos.runs.v1.run_pb2 import Launch, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest
from trackside_runner_local.processes import Process, marked, send

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

SIGNALS: Final = [
    signal.SIGABRT,
    signal.SIGFPE,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGKILL,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGTERM,
    signal.SIGUSR1,
]
BEGINS: Final = "echo started >> starts/{number}; echo line {number}; "
UNTIL_DARK: Final = (
    "touch ready/{number}; until [ -e dark ]; do sleep 0.05; done; touch over/{number}; "
)
"""Ends while neither the agent nor the server is there."""


@dataclass(frozen=True)
class Wanted:
    """A program, and how it ends."""

    script: str
    state: RunState.ValueType
    exit_code: int | None
    exit_signal: int | None


def programs(count: int, chance: random.Random) -> Mapping[str, Wanted]:
    """Return programs with all kinds of endings, by run id."""
    return {new_run_id(): program(number, chance) for number in range(count)}


def program(number: int, chance: random.Random) -> Wanted:
    waits = ["", f"sleep {chance.uniform(0.05, 4):.2f}; ", UNTIL_DARK][number % 3]
    script = f"{BEGINS}{waits}".format(number=number)
    if chance.random() < 0.3:
        one = chance.choice(SIGNALS)
        failed = RunState.RUN_STATE_FAILED
        return Wanted(f"{script}kill -{one.value} $$", failed, None, one)
    code = chance.choice([0, 1, 255, chance.randrange(256)])
    state = RunState.RUN_STATE_FAILED if code else RunState.RUN_STATE_COMPLETED
    return Wanted(f"{script}exit {code}", state, code, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("starts", "ready", "over"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home", TRACKSIDE_LOCAL_SLOTS="16")
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.mark.parametrize("count", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_every_ending_is_right_though_everything_of_ours_is_killed_at_any_time(
    installation: WholeInstallation, folder: Path, count: int
) -> None:
    chance = seeded(count)
    wanted = programs(count, chance)
    token = (installation.home / "token").read_text()
    told: dict[str, Run] = {}
    with PlainClient(installation.address, token) as client, ThreadPoolExecutor(1) as orderer:
        ordering = orderer.submit(order, client, wanted, folder)
        try:
            while not ordering.done() or told.keys() != wanted.keys():
                pause(chance.uniform(0.1, 2.0))
                kill_some(installation, folder, chance)
                told |= ended_of(client, wanted.keys() - told.keys())
        finally:
            clean_up(wanted.keys())
    ordering.result()

    assert {run_id: ending_of(run, wanted[run_id].script) for run_id, run in told.items()} == wanted
    starts = [(folder / "starts" / str(number)).read_text() for number in range(count)]
    assert starts == ["started\n"] * count


def order(client: PlainClient, wanted: Mapping[str, Wanted], folder: Path) -> None:
    """Order all runs, each again until the server has answered."""
    for run_id, program in wanted.items():
        launch = Launch(command=["sh", "-c", program.script], work_directory=str(folder))
        run = Run(run_id=run_id, name="test", runner="local", launch=launch)
        eventually(lambda: is_ordered(client, run), within=300)  # noqa: B023


def is_ordered(client: PlainClient, run: Run) -> bool:
    try:
        client.call(client.runs.CreateRun, CreateRunRequest(run=run))
    except grpc.RpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        return False
    return True


def kill_some(installation: WholeInstallation, folder: Path, chance: random.Random) -> None:
    """Kill supervisors, the agent, the server or all of them, and start the latter again."""
    kill_supervisors(installation, chance)
    which = chance.choice(["agent", "server", "both", "both"])
    if which != "server":
        installation.kill_agent()
    if which != "agent":
        installation.kill()
    if which == "both":
        let_programs_end_in_the_dark(folder)
    if which != "agent":
        installation.start()
    if which != "server":
        installation.start_agent()


def kill_supervisors(installation: WholeInstallation, chance: random.Random) -> None:
    """Kill some of those that hold a run, not yet those that stand by."""
    for record in installation.home.glob("agent/runs/*/runner/state.json"):
        with suppress(FileNotFoundError):  # its run has ended
            now = json.loads(record.read_text())["supervisor"]
            first = json.loads(record.with_name("start.json").read_text())["supervisor"]
            if now == first and chance.random() < 0.3:
                send(Process(*now), signal.SIGKILL)


def let_programs_end_in_the_dark(folder: Path) -> None:
    dark = folder / "dark"
    dark.touch()
    eventually(lambda: names(folder / "ready") <= names(folder / "over"))
    dark.unlink()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ended_of(client: PlainClient, run_ids: Iterable[str]) -> dict[str, Run]:
    """Return those of the runs that have ended."""
    found = [client.find(run_id) for run_id in run_ids]
    return {run.run_id: run for run in found if run is not None and run.HasField("end_time")}


def ending_of(run: Run, script: str) -> Wanted:
    code = run.exit_code if run.HasField("exit_code") else None
    number = run.exit_signal if run.HasField("exit_signal") else None
    return Wanted(script, run.state, code, number)


def pause(seconds: float) -> None:
    """Let things go their way for a moment: what is killed then is up to chance."""
    threading.Event().wait(seconds)


def clean_up(run_ids: Iterable[str]) -> None:
    for run_id in run_ids:
        for process in marked(f"TRACKSIDE_RUN_ID={run_id}"):
            send(process, signal.SIGKILL)
