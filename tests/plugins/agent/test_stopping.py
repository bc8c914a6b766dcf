"""Stops, as whoever asked for one sees them, through a whole agent and the local runner."""

import os
import signal
import time
from pathlib import Path

import pytest

from support.agents import AgentProcess, how_it_ended
from support.control_room import ControlRoom
from support.programs import pause
from trackside_agent.run_folder import RunFolder, StoredCommand
from trackside_protos.runners.v1.runners_service_pb2 import Assignment
from trackside_runner_local.processes import is_alive, marked, send

pytestmark = pytest.mark.end_to_end

CLEANS_UP = """
import os, signal, sys, time
def clean_up(number, frame):
    os.write(1, b"told\\n")
    while not os.path.exists(sys.argv[1]): time.sleep(0.01)
    os.write(1, b"saved\\n")
    os._exit(3)
signal.signal(signal.SIGTERM, clean_up)
os.write(1, b"up\\n")
while True: time.sleep(0.05)
"""
RESISTS = """
import os, signal, time
def refuse(number, frame):
    try: os.write(1, b"never\\n")
    except BrokenPipeError: pass
signal.signal(signal.SIGTERM, refuse)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
os.write(1, b"up\\n")
while True: time.sleep(600)
"""


def has_said(room: ControlRoom, run_id: str, text: str, times: int = 1) -> None:
    room.wait(lambda: room.told(run_id).text().count(text) == times, f"{text!r} of {run_id}")


def assert_nothing_is_left(run_id: str) -> None:
    assert marked(f"TRACKSIDE_RUN_ID={run_id}") == set()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


def test_stopped_run_cleans_up_and_keeps_what_it_said(
    agent: AgentProcess, room: ControlRoom, go: Path
) -> None:
    go.touch()
    agent.start()
    run_id = agent.run(CLEANS_UP, go)
    has_said(room, run_id, "up")

    room.stop_run(run_id, "request-1")
    told = room.ended(run_id)

    assert told.text() == "up\ntold\nsaved\n"
    assert how_it_ended(told) == ("TERMINATED", "STOPPED")
    assert told.ending is not None
    assert told.ending.exit_code == 3
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
    assert not told.found_nothing("request-1")


def test_stop_is_escalated_when_the_grace_time_is_over(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.start()
    for grace_seconds in (1.0, 4.0, 16.0):  # until it has the time to refuse
        run_id = agent.run(RESISTS)
        has_said(room, run_id, "up", times=3)
        room.stop_run(run_id, f"request-{run_id}", grace_seconds)
        told = room.ended(run_id)
        assert_nothing_is_left(run_id)
        if told.text().count("never") == 3:
            break

    assert told.text().count("never") == 3
    assert how_it_ended(told) == ("TERMINATED", "STOPPED")
    assert told.steps(f"request-{run_id}") == ["ACKNOWLEDGED", "ESCALATED", "CONFIRMED"]


def test_kill_overtakes_a_stop_and_both_are_confirmed(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.start()
    run_id = agent.run(RESISTS)
    has_said(room, run_id, "up", times=3)
    room.stop_run(run_id, "request-1")
    has_said(room, run_id, "never", times=3)

    room.kill(run_id, "request-2")
    told = room.ended(run_id)

    assert_nothing_is_left(run_id)
    assert how_it_ended(told) == ("TERMINATED", "KILLED")
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
    assert told.steps("request-2") == ["ACKNOWLEDGED", "CONFIRMED"]


def test_stop_goes_on_with_the_next_agent_and_tells_the_run_once(
    agent: AgentProcess, room: ControlRoom, go: Path
) -> None:
    agent.start()
    run_id = agent.run(CLEANS_UP, go)
    has_said(room, run_id, "up")
    room.stop_run(run_id, "request-1")
    has_said(room, run_id, "told")
    for _ in range(3):
        agent.kill()
        agent.start()
    go.touch()

    told = room.ended(run_id)

    assert told.text() == "up\ntold\nsaved\n"
    assert how_it_ended(told) == ("TERMINATED", "STOPPED")
    assert told.steps("request-1")[-1] == "CONFIRMED"


def test_stop_that_is_delivered_twice_is_done_once(
    agent: AgentProcess, room: ControlRoom, go: Path
) -> None:
    agent.start()
    run_id = agent.run(CLEANS_UP, go)
    has_said(room, run_id, "up")
    room.stop_run(run_id, "request-1")
    has_said(room, run_id, "told")
    room.send_again("request-1")
    room.wait(lambda: room.was_sent("request-1 again"))
    room.assign(marker := agent.new_run(["true"]))
    room.ended(marker.run_id)  # so the agent has taken in what was sent before
    go.touch()

    told = room.ended(run_id)

    assert told.text() == "up\ntold\nsaved\n"
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]


def test_grace_time_ends_with_the_agent_away(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    for grace_seconds in (3.0, 12.0, 48.0):  # until there is time to see it refuse
        run_id = agent.run(RESISTS)
        told = room.told(run_id)
        has_said(room, run_id, "up", times=3)
        supervisor = agent.supervisor(run_id)
        room.stop_run(run_id, f"request-{run_id}", grace_seconds)
        room.wait(lambda: told.text().count("never") == 3 or told.is_closed)  # noqa: B023
        if not told.is_closed:
            break
    agent.kill()
    room.wait(lambda: not is_alive(supervisor))

    assert_nothing_is_left(run_id)
    agent.start()
    told = room.ended(run_id)

    assert how_it_ended(told) == ("TERMINATED", "STOPPED")
    steps = dict.fromkeys(told.steps(f"request-{run_id}"))  # the next agent may say some again
    assert list(steps) == ["ACKNOWLEDGED", "ESCALATED", "CONFIRMED"]


def test_stop_reaches_a_run_whose_supervisor_is_gone(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.start()
    run_id = agent.run(RESISTS)
    has_said(room, run_id, "up", times=3)
    for supervisor in agent.supervisors(run_id):
        send(supervisor, signal.SIGKILL)

    room.stop_run(run_id, "request-1", grace_seconds=0.5)
    told = room.ended(run_id)

    assert_nothing_is_left(run_id)
    assert how_it_ended(told) == ("TERMINATED", "STOPPED")
    assert told.steps("request-1") == ["ACKNOWLEDGED", "ESCALATED", "CONFIRMED"]


def test_stop_that_comes_after_the_end_found_nothing(
    agent: AgentProcess, room: ControlRoom, go: Path
) -> None:
    agent.start()
    run_id = agent.run("import os, sys\nwhile not os.path.exists(sys.argv[1]): pass", go)
    room.wait(lambda: room.told(run_id).states)
    supervisor = agent.supervisor(run_id)
    pause(agent.pid)
    go.touch()
    room.wait(lambda: not is_alive(supervisor))
    room.stop_run(run_id, "request-1")
    room.wait(lambda: room.was_sent("request-1"))

    os.kill(agent.pid, signal.SIGCONT)
    told = room.ended(run_id)

    assert how_it_ended(told) == ("COMPLETED", "UNSPECIFIED")
    if told.steps("request-1"):  # or else the end was on its way before
        assert told.steps("request-1")[-1] == "CONFIRMED"
        assert told.found_nothing("request-1")


def test_run_that_is_stopped_before_its_launch_never_begins(
    agent: AgentProcess, room: ControlRoom, go: Path
) -> None:
    run = agent.new_run(["touch", str(go)])
    agent.start()
    room.wait(lambda: room.hellos)
    agent.kill()
    folder = RunFolder(agent.folder(run.run_id))
    folder.store(Assignment(run=run, reporter_token="none"))  # noqa: S106 - none
    stop = StoredCommand("request-1", is_kill=False, grace_seconds=600.0, time=time.time())
    folder.store_command(stop)

    agent.start()
    told = room.ended(run.run_id)

    assert how_it_ended(told) == ("TERMINATED", "STOPPED")
    assert told.steps("request-1")[-1] == "CONFIRMED"
    assert told.found_nothing("request-1")
    assert not go.exists()
