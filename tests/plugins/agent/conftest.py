"""Fixtures for the tests of the agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agents import AgentProcess
from support.control_room import ControlRoom


@pytest.fixture
def room() -> Iterator[ControlRoom]:
    room = ControlRoom()
    room.start()
    yield room
    room.stop()
    assert room.broken == []


@pytest.fixture
def agent(tmp_path: Path, room: ControlRoom) -> Iterator[AgentProcess]:
    agent = AgentProcess(tmp_path / "home", room)
    yield agent
    agent.clean_up()
