"""The agent and the server, killed, stopped or cut off, cost a run nothing."""

from pathlib import Path

import pytest

from support.agents import AgentProcess, how_it_ended, processes_of
from support.control_room import ControlRoom, Told
from trackside_runner_local.processes import is_alive

pytestmark = pytest.mark.end_to_end

COUNTS = """
import os, sys, time
for number in range(int(sys.argv[1])):
    print(number, flush=True)
    if number in (200, 400):
        print("x" * 100_000 + str(number), file=sys.stderr, flush=True)
    while number == 500 and not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
sys.exit(7)
"""
WAITS = "import time; print('up', flush=True); time.sleep(600)"


def assert_counted(told: Told, count: int) -> None:
    assert told.text() == "".join(f"{number}\n" for number in range(count))
    long = "".join("x" * 100_000 + f"{number}\n" for number in (200, 400) if number < count)
    assert told.text("stderr") == long


@pytest.mark.parametrize("round_number", range(3))
def test_killed_agent_loses_and_repeats_nothing(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path, round_number: int
) -> None:
    go = tmp_path / "go"
    agent.start()
    run_id = agent.run(COUNTS, 1000, go)
    lines = 100 + 150 * round_number
    room.wait(lambda: len(room.told(run_id).entries) > lines)
    agent.kill()
    agent.start()
    room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
    agent.kill()
    go.touch()
    agent.start()

    told = room.ended(run_id)

    assert_counted(told, 1000)
    assert how_it_ended(told) == ("FAILED", "EXIT_CODE")
    assert told.ending is not None
    assert told.ending.exit_code == 7
    assert len(told.states) == 2


def test_agent_killed_at_any_time_loses_and_repeats_nothing(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    agent.start()
    program = COUNTS.replace(
        "print(number, flush=True)", "print(number, flush=True)\n    time.sleep(0.002)"
    )
    run_id = agent.run(program, 1500, tmp_path / "go")

    for kills in range(6):
        room.wait(lambda: len(room.told(run_id).entries) > 60 * kills)  # noqa: B023
        agent.kill()
        agent.start()
    told = room.ended(run_id)

    assert_counted(told, 1500)
    assert how_it_ended(told) == ("FAILED", "EXIT_CODE")


def test_run_that_ended_while_the_agent_was_away_is_told_whole(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent.start()
    run_id = agent.run(COUNTS, 1000, go)
    room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
    supervisor = agent.supervisor(run_id)
    agent.kill()
    go.touch()
    room.wait(lambda: not is_alive(supervisor))

    agent.start()

    assert_counted(room.ended(run_id), 1000)


def test_server_away_delays_and_loses_nothing(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent.start()
    run_id = agent.run(COUNTS, 1000, go)
    room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
    supervisor = agent.supervisor(run_id)
    room.stop()
    go.touch()
    room.wait(lambda: not is_alive(supervisor))

    room.start()

    assert_counted(room.ended(run_id), 1000)
    room.wait(lambda: len(room.hellos) >= 2)


def test_agent_and_server_gone_together_lose_nothing(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent.start()
    run_id = agent.run(COUNTS, 1000, go)
    room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
    room.stop()
    agent.kill()
    go.touch()
    agent.start()

    room.start()

    assert_counted(room.ended(run_id), 1000)


def test_stopped_agent_leaves_runs_running(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(WAITS)
    room.wait(lambda: room.told(run_id).text() == "up\n")

    assert agent.stop() == 0

    assert len(processes_of(run_id)) == 1
    agent.start()
    room.wait(lambda: len(room.hellos) == 2)
    assert room.hellos[1].held_run_ids == [run_id]
    assert room.hellos[0].agent_id == room.hellos[1].agent_id
    room.kill(run_id, "request-1")
    assert how_it_ended(room.ended(run_id)) == ("TERMINATED", "KILLED")
