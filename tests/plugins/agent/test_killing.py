"""Kills, as whoever asked for one sees them, through a whole agent and the local runner."""

import signal
import time

import pytest

from support.agents import AgentProcess, how_it_ended, processes_of
from support.control_room import ControlRoom
from trackside_agent.run_folder import RunFolder, StoredCommand
from trackside_runner_local.processes import send

pytestmark = pytest.mark.end_to_end

WAITS = "import time; print('up', flush=True); time.sleep(600)"
RESISTS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
print("up", flush=True)
time.sleep(600)
"""


def test_kill_is_acknowledged_done_and_confirmed(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(RESISTS)
    room.wait(lambda: room.told(run_id).text().count("up") == 4)

    room.kill(run_id, "request-1")
    told = room.ended(run_id)

    assert processes_of(run_id) == set()
    assert how_it_ended(told) == ("TERMINATED", "KILLED")
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
    assert not told.found_nothing("request-1")


def test_stored_kill_is_done_by_the_next_agent(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(WAITS)
    room.wait(lambda: room.told(run_id).text() == "up\n")
    agent.kill()
    command = StoredCommand("request-1", is_kill=True, grace_seconds=0.0, time=time.time())
    RunFolder(agent.folder(run_id)).store_command(command)

    agent.start()
    told = room.ended(run_id)

    assert how_it_ended(told) == ("TERMINATED", "KILLED")
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
    assert processes_of(run_id) == set()


def test_kill_reaches_a_run_whose_supervisor_is_gone(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.start()
    run_id = agent.run(RESISTS)
    room.wait(lambda: room.told(run_id).text().count("up") == 4)
    for supervisor in agent.supervisors(run_id):
        send(supervisor, signal.SIGKILL)

    room.kill(run_id, "request-1")

    assert how_it_ended(room.ended(run_id)) == ("TERMINATED", "KILLED")
    assert processes_of(run_id) == set()
