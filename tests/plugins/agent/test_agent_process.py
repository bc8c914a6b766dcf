"""The agent as a process: one a home, small, and its files its own."""

import stat

import pytest

from support.agents import AgentProcess, resident_mebibytes
from support.control_room import ControlRoom
from trackside_agent.detached import find_running
from trackside_runner_local.processes import identify

pytestmark = pytest.mark.end_to_end

WAITS = "import time; print('up', flush=True); time.sleep(600)"


def test_second_agent_of_a_home_does_not_start(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    room.wait(lambda: room.hellos)
    second = AgentProcess(agent.home, room)
    second.start()

    assert second.wait() == 1
    assert find_running(agent.home) == agent.pid


def test_idle_agent_is_small(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    room.ended(agent.run("print('hello')"))

    assert resident_mebibytes(agent.pid) < 60


def test_files_are_the_owners_alone(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(WAITS)
    room.wait(lambda: room.told(run_id).text() == "up\n")

    files = [path for path in (agent.home / "agent" / "runs").rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}
    assert identify(agent.pid)
