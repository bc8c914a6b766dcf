"""An agent that others start, find and stop."""

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.agents import AgentProcess
from support.control_room import ControlRoom
from trackside_agent import detached
from trackside_agent.detached import (
    AgentNotStartedError,
    find_running,
    start_detached,
    stop,
)
from trackside_agent.lock import AgentLock, find_owner

pytestmark = pytest.mark.end_to_end


def test_detached_agent_is_started_once_found_and_stopped(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.home.mkdir()

    pid = start_detached(agent.home, room.address)
    again = start_detached(agent.home, room.address)

    assert pid == again == find_running(agent.home)
    assert os.getsid(pid) != os.getsid(0)
    room.wait(lambda: room.hellos)
    assert stop(agent.home)
    assert find_running(agent.home) is None
    assert not stop(agent.home)


def test_detached_agent_goes_on_with_the_runs_of_the_one_before(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.start()
    run_id = agent.run("import time; print('up', flush=True); time.sleep(600)")
    room.wait(lambda: room.told(run_id).text() == "up\n")
    agent.stop()

    start_detached(agent.home, room.address)
    room.kill(run_id, "request-1")

    assert room.ended(run_id).steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]


def test_agent_whose_home_is_removed_ends(agent: AgentProcess, room: ControlRoom) -> None:
    agent.home.mkdir()
    pid = start_detached(agent.home, room.address)
    room.wait(lambda: room.hellos)
    descriptor = os.pidfd_open(pid)

    shutil.rmtree(agent.home)

    assert select.select([descriptor], [], [], 60.0)[0]
    os.close(descriptor)


def test_home_without_agent_has_none(tmp_path: Path) -> None:
    assert find_running(tmp_path) is None
    assert not stop(tmp_path)


def test_agent_that_ends_by_itself_when_it_is_to_be_stopped_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    looks = 0

    def find(_home: Path) -> int:
        nonlocal looks
        looks += 1
        if looks == 2:  # and gone without a trace just then
            agent.kill()
            agent.wait()
        return agent.pid

    monkeypatch.setattr(detached, "find_running", find)

    assert stop(tmp_path)


def test_agent_that_does_not_come_up_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")

    with pytest.raises(AgentNotStartedError, match="encodings"):
        start_detached(tmp_path, "127.0.0.1:1")


def test_lock_is_not_disturbed_by_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "agent" / "lock"

    assert find_owner(path) is None
    AgentLock(path).take()
    child = os.fork()
    if child == 0:
        os._exit(0 if find_owner(path) == os.getppid() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
