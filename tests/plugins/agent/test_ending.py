"""How a run ends by itself, as its server hears of it, and what is kept afterwards."""

import signal

import pytest

from support.agents import AgentProcess, how_it_ended, processes_of
from support.control_room import ControlRoom
from trackside_runner_local.processes import send

pytestmark = pytest.mark.end_to_end

WAITS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.mark.parametrize("code", [1, 7, 255])
def test_exit_code_fails_the_run(agent: AgentProcess, room: ControlRoom, code: int) -> None:
    agent.start()
    told = room.ended(agent.run(f"raise SystemExit({code})"))

    assert how_it_ended(told) == ("FAILED", "EXIT_CODE")
    assert told.ending is not None
    assert told.ending.exit_code == code


def test_signal_fails_the_run(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    told = room.ended(agent.run("import os; os.kill(os.getpid(), 11)"))

    assert how_it_ended(told) == ("FAILED", "SIGNAL")
    assert told.ending is not None
    assert told.ending.exit_signal == signal.SIGSEGV


def test_process_gone_without_a_trace_crashed(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(WAITS)
    room.wait(lambda: room.told(run_id).text() == "up\n")

    agent.kill()
    for process in (*agent.supervisors(run_id), *processes_of(run_id)):
        send(process, signal.SIGKILL)
    room.wait(lambda: not processes_of(run_id))
    agent.start()

    assert how_it_ended(room.ended(run_id)) in [("FAILED", "CRASHED"), ("FAILED", "SIGNAL")]


def test_producer_closes_last_with_its_counts(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    told = room.ended(agent.run("print('one')"))

    assert told.reports[-1].HasField("closed")
    assert told.reports[-1].closed.logs_batch_count == 1


def test_everything_is_forgotten_when_delivered(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run("print('one')")
    room.ended(run_id)

    room.wait(lambda: not agent.folder(run_id).exists())

    assert not (agent.home / "spool" / run_id).exists()
