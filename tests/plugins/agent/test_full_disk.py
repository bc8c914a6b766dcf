"""A full disk delays an agent, and costs it no run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agents import AgentProcess, how_it_ended, processes_of
from support.control_room import ControlRoom
from support.small_disk import fill, small_disk

pytestmark = pytest.mark.end_to_end

PAGE_BYTES = 4096
"""What the smallest file takes on this disk."""

WAITS = """
import os, sys, time
print("up", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
sys.exit(5)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def agent(disk: Path, room: ControlRoom, tmp_path: Path) -> Iterator[AgentProcess]:
    agent = AgentProcess(disk / "home", room)
    log = agent.home / "agent" / "agent.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(tmp_path / "agent.log")  # there is always room for what is waited for
    yield agent
    agent.clean_up()


def test_run_that_ends_on_a_full_disk_is_told_when_there_is_room(
    agent: AgentProcess, room: ControlRoom, disk: Path, tmp_path: Path
) -> None:
    agent.start()
    run_id = agent.run(WAITS, tmp_path / "go")
    room.wait(lambda: room.told(run_id).text() == "up\n")
    filler = fill(disk)
    (tmp_path / "go").touch()
    room.wait(lambda: not processes_of(run_id))
    filler.unlink()

    told = room.ended(run_id)

    assert how_it_ended(told) == ("FAILED", "EXIT_CODE")
    assert told.ending is not None
    assert told.ending.exit_code == 5


@pytest.mark.parametrize("pages", range(12))
def test_run_for_whose_beginning_there_is_no_room_begins_when_there_is(
    agent: AgentProcess, room: ControlRoom, disk: Path, tmp_path: Path, pages: int
) -> None:
    agent.start()
    room.ended(agent.run("print('before')"))
    filler = fill(disk)
    os.truncate(filler, filler.stat().st_size - pages * PAGE_BYTES)
    run_id = agent.run("import sys; open(sys.argv[1], 'a').write('x')", tmp_path / "starts")
    room.wait(lambda: "No space left on device" in agent.log or room.told(run_id).is_closed)
    filler.unlink()

    told = room.ended(run_id)

    assert how_it_ended(told) == ("COMPLETED", "UNSPECIFIED")
    assert (tmp_path / "starts").read_text() == "x"


def test_kill_needs_no_room_on_the_disk(
    agent: AgentProcess, room: ControlRoom, disk: Path, tmp_path: Path
) -> None:
    agent.start()
    run_id = agent.run(WAITS, tmp_path / "go")
    room.wait(lambda: room.told(run_id).text() == "up\n")
    filler = fill(disk)

    room.kill(run_id, "request-1")
    room.wait(lambda: not processes_of(run_id))
    filler.unlink()

    told = room.ended(run_id)
    assert how_it_ended(told) == ("TERMINATED", "KILLED")
    assert told.steps("request-1")[-1] == "CONFIRMED"
