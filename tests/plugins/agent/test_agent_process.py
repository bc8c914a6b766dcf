"""The agent as a process: one a home, small, and its files its own."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from support.agents import AgentProcess, resident_mebibytes
from support.control_room import ControlRoom
from support.folders import paths_below
from trackside_agent.detached import find_running
from trackside_runner_local.processes import identify

pytestmark = pytest.mark.end_to_end

COUNTS = """
import itertools, os, sys, time
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.02)
    if os.path.exists(sys.argv[1]):
        break
"""
WAITS = "import time; print('up', flush=True); time.sleep(600)"


def test_second_agent_of_a_home_does_not_start(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    room.wait(lambda: room.hellos)
    second = AgentProcess(agent.home, room)
    second.start()

    assert second.wait() == 1
    assert find_running(agent.home) == agent.pid


def test_agent_of_a_copied_home_is_another_one_and_says_nothing_twice(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent.start()
    run_id = agent.run(COUNTS, go)
    room.wait(lambda: room.told(run_id).text().count("\n") > 5)
    copy = AgentProcess(tmp_path / "copy", room)
    # What is written meanwhile may be gone again when it is to be copied.
    subprocess.run(["cp", "-a", agent.home, copy.home], check=False)  # noqa: S603, S607 - our own words
    room.wait(lambda: room.told(run_id).text().count("\n") > 20)

    copy.start()
    room.wait(lambda: len({hello.agent_id for hello in room.hellos}) == 2)
    go.touch()
    told = room.ended(run_id)
    copy.clean_up()

    numbers = [int(line) for line in told.text().split()]
    assert numbers == list(range(len(numbers)))
    assert "this home is a copy" in copy.log


def test_agent_of_a_home_that_was_moved_is_the_same(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    agent.start()
    room.wait(lambda: room.hellos)
    agent.stop()
    moved = AgentProcess(tmp_path / "moved", room)
    subprocess.run(["cp", "-a", agent.home, moved.home], check=True)  # noqa: S603, S607 - as above
    shutil.rmtree(agent.home)

    moved.start()
    room.wait(lambda: len(room.hellos) == 2)
    moved.clean_up()

    assert len({hello.agent_id for hello in room.hellos}) == 1


def test_idle_agent_is_small(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    room.ended(agent.run("print('hello')"))

    assert resident_mebibytes(agent.pid) < 60


def test_files_are_the_owners_alone(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(WAITS)
    room.wait(lambda: room.told(run_id).text() == "up\n")

    runs = agent.home / "agent" / "runs"
    modes = [mode for path in paths_below(runs) for mode in modes_of(runs / path)]
    assert any(stat.S_ISREG(mode) for mode in modes)
    assert {mode & 0o077 for mode in modes if stat.S_ISREG(mode)} == {0}
    assert identify(agent.pid)


def modes_of(path: Path) -> list[int]:
    """Return the mode of a file; none if it is gone: some are written anew again and again."""
    try:
        return [path.lstat().st_mode]
    except FileNotFoundError:
        return []
