"""Agents, servers and supervisors killed at the moments that hurt most."""

import json
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from support.agents import AgentProcess
from support.chance import seeded
from support.control_room import ControlRoom, Told
from trackside_protos.runs.v1.run_state_pb2 import StateReason
from trackside_runner_local.processes import Process, is_alive, send

pytestmark = pytest.mark.end_to_end

LINES, CODES = 40, 24
STARTS_ONCE = """
import os, sys, time
starts, number = sys.argv[1], int(sys.argv[2])
os.close(os.open(f"{starts}/{number}", os.O_CREAT | os.O_EXCL))
for line in range(int(sys.argv[3])):
    print(number, line, flush=True)
    time.sleep(0.02)
while len(sys.argv) > 4 and not os.path.exists(sys.argv[4]):
    time.sleep(0.02)
sys.exit(number)
"""
MOMENTS = [
    "assignment",
    "launching",
    "runner/launch.json",
    "runner/start.json",
    "handle.json",
    "runner/output",
    "runner/exit.json",
    "ended",
]
"""What the agent and its runner write down of a run, in order; killed when each has appeared."""


def assert_whole(told: Told, number: int) -> None:
    assert told.ending is not None
    assert told.ending.exit_code == number
    assert told.text() == "".join(f"{number} {line}\n" for line in range(LINES))
    assert told.text("stderr") == ""


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    folder = tmp_path / "starts"
    folder.mkdir()
    return folder


def test_ten_kills_of_agent_and_server_cost_no_run_anything(
    agent: AgentProcess, room: ControlRoom, starts: Path
) -> None:
    chance = seeded(24)
    agent.start()
    runs = {n: agent.run(STARTS_ONCE, starts, n, LINES) for n in range(1, CODES + 1)}

    for kills in range(10):
        enough = lines_heard(room, runs) + chance.randrange(40)
        room.wait(partial(has_heard_enough, room, runs, enough))
        agent.kill()
        if kills % 2:
            room.stop()
            room.start()
        agent.start()

    for number, run_id in runs.items():
        assert_whole(room.ended(run_id), number)
    assert sorted(int(file.name) for file in starts.iterdir()) == list(runs)


def lines_heard(room: ControlRoom, runs: Mapping[int, str]) -> int:
    return sum(len(room.told(run_id).entries) for run_id in runs.values())


def has_heard_enough(room: ControlRoom, runs: Mapping[int, str], enough: int) -> bool:
    have_ended = all(room.told(run_id).is_closed for run_id in runs.values())
    return have_ended or lines_heard(room, runs) >= enough


@pytest.mark.parametrize("moment", MOMENTS)
def test_agent_killed_at_each_step_of_a_run_starts_it_once(
    agent: AgentProcess, room: ControlRoom, starts: Path, moment: str
) -> None:
    agent.start()
    room.wait(lambda: room.hellos)
    run_id = agent.run(STARTS_ONCE, starts, 7, LINES)
    while not (agent.folder(run_id) / moment).exists() and not room.told(run_id).is_closed:
        pass  # as close behind as can be
    agent.kill()
    agent.start()

    told = room.ended(run_id)

    assert_whole(told, 7)
    assert [file.name for file in starts.iterdir()] == ["7"]


@pytest.mark.parametrize("victims", [["supervisor"], ["standby"], ["standby", "supervisor"]])
@pytest.mark.parametrize(
    "moment", ["runner/start.json", "runner/state.json", "handle.json", "runner/output"]
)
def test_supervisors_killed_at_each_step_of_a_run_start_it_once(
    agent: AgentProcess, room: ControlRoom, starts: Path, moment: str, victims: list[str]
) -> None:
    go = starts.with_name("go")  # how a command ends must be seen
    agent.start()
    room.wait(lambda: room.hellos)
    run_id = agent.run(STARTS_ONCE, starts, 7, LINES, go)
    while not (agent.folder(run_id) / moment).exists():
        pass
    start = json.loads((agent.folder(run_id) / "runner" / "start.json").read_text())
    killed = [Process(*start[victim]) for victim in victims]
    for victim in killed:
        send(victim, signal.SIGKILL)
    room.wait(lambda: not any(map(is_alive, killed)))
    room.wait(lambda: is_held(agent.folder(run_id) / "runner") or room.told(run_id).is_closed)
    go.touch()

    told = room.ended(run_id)

    assert [file.name for file in starts.iterdir()] in ([], ["7"])
    if told.ending is not None and told.ending.reason == StateReason.STATE_REASON_CRASHED:
        assert moment == "runner/start.json"  # killed before it had let the command go
        assert "before the command had begun" in told.ending.message
    else:
        assert_whole(told, 7)


def test_supervisors_killed_over_and_over_cost_a_run_nothing(
    agent: AgentProcess, room: ControlRoom, starts: Path
) -> None:
    go = starts.with_name("go")
    agent.start()
    run_id = agent.run(STARTS_ONCE, starts, 7, LINES, go)
    folder = agent.folder(run_id) / "runner"

    for kills in range(4):
        room.wait(lambda: room.told(run_id).text().count("\n") > 5 * kills)  # noqa: B023
        killed = supervisors_of(folder)
        for supervisor in killed:
            send(supervisor, signal.SIGKILL)
        room.wait(lambda: not any(map(is_alive, killed)))  # noqa: B023
    room.wait(lambda: is_held(folder))
    go.touch()

    assert_whole(room.ended(run_id), 7)


def is_held(folder: Path) -> bool:
    """Return whether a supervisor has taken up a run; the folder goes with the run."""
    try:
        return any(map(is_alive, supervisors_of(folder)))
    except FileNotFoundError:
        return False


def supervisors_of(folder: Path) -> list[Process]:
    start = json.loads((folder / "start.json").read_text())
    state = json.loads((folder / "state.json").read_text())
    return [
        Process(*start["standby"]),
        Process(*start["supervisor"]),
        Process(*state["supervisor"]),
    ]
