"""Runs that are controlled through another replica than the one their agent is connected to."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from support.apart_installation import ApartInstallation
from support.command_line import Done
from support.eventually import eventually
from support.instants import instant
from support.whole_installation import TRACKSIDE, done
from trackside_runner_local.processes import Process, marked, send

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.redis,
    pytest.mark.postgresql,
    pytest.mark.timeout(240),
]

Command = Callable[..., Done]

THERE: Final = 0
"""The replica that the agent is connected to."""
ELSEWHERE: Final = 1
STUBBORN: Final = "trap 'echo no' TERM; echo up; while :; do sleep 0.05; done"
POLITE: Final = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def command(replicas: ApartInstallation) -> Command:
    def run_to_its_end(replica: int, *words: str) -> Done:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [TRACKSIDE, *words],
            env=replicas.environment(replica),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return done(process, words)

    return run_to_its_end


@pytest.fixture
def launch(command: Command) -> Iterator[Callable[[str], str]]:
    run_ids: list[str] = []

    def start(script: str) -> str:
        said = command(ELSEWHERE, "run", "--detach", "-o", "name", "--", "sh", "-c", script)
        run_ids.append(said.out.strip())
        eventually(lambda: command(ELSEWHERE, "logs", run_ids[-1]).out == "up\n", within=60)
        return run_ids[-1]

    yield start
    for process in (process for run_id in run_ids for process in processes_of(run_id)):
        send(process, signal.SIGKILL)


def processes_of(run_id: str) -> set[Process]:
    return marked(f"TRACKSIDE_RUN_ID={run_id}")


def described(command: Command, replica: int, run_id: str) -> dict[str, Any]:
    return json.loads(command(replica, "describe", run_id, "-o", "json").out)["run"]


def test_a_stop_reaches_the_agent_and_its_proof_reaches_everyone(
    command: Command, launch: Callable[[str], str]
) -> None:
    polite, stubborn = launch(POLITE), launch(STUBBORN)

    assert command(ELSEWHERE, "stop", "--yes", "--grace", "60s", polite).code == 0
    assert command(ELSEWHERE, "stop", "--yes", "--grace", "500ms", stubborn).code == 0

    assert processes_of(polite) | processes_of(stubborn) == set()
    for replica in (THERE, ELSEWHERE):
        (request,) = described(command, replica, polite)["controlRequests"]
        assert "escalateTime" not in request
        (request,) = described(command, replica, stubborn)["controlRequests"]
        assert instant(request["escalateTime"]) <= instant(request["confirmTime"])
        words = ("logs", "--stream", "stdout", polite)
        eventually(lambda: command(replica, *words).out == "up\nbye\n")  # noqa: B023


def test_a_kill_is_kept_for_an_agent_whose_replica_died(
    replicas: ApartInstallation, command: Command, launch: Callable[[str], str]
) -> None:
    run_id = launch(STUBBORN)
    door = replicas.replicas[THERE]["runs"]
    door.kill()

    asked = command(ELSEWHERE, "kill", "--yes", "--no-wait", run_id)
    assert asked.code == 0
    assert processes_of(run_id)
    door.start()

    run = eventually(lambda: ended(described(command, ELSEWHERE, run_id)), within=60)
    assert run["state"] == "RUN_STATE_TERMINATED"
    assert run["controlRequests"][0]["confirmTime"]
    assert processes_of(run_id) == set()


def test_a_deleted_run_is_gone_at_every_replica(
    command: Command, launch: Callable[[str], str]
) -> None:
    run_id = launch(POLITE)
    command(ELSEWHERE, "kill", "--yes", run_id)
    eventually(lambda: described(command, ELSEWHERE, run_id).get("sealed"), within=60)

    assert command(ELSEWHERE, "delete", "--yes", run_id).code == 0

    for replica in (THERE, ELSEWHERE):
        for words in (("describe", run_id), ("logs", run_id), ("get", "metrics", run_id)):
            eventually(lambda: command(replica, *words).code == 3)  # noqa: B023


def ended(run: dict[str, Any]) -> dict[str, Any] | None:
    return run if run.get("endTime") else None
