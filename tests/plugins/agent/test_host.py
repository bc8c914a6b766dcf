"""What the agent holds, while the disk is full."""

import errno
from pathlib import Path

import pytest

from trackside.location import Location
from trackside_agent.agent_folder import AgentFolder
from trackside_agent.delivery import Sender
from trackside_agent.host import Host
from trackside_plugin_interface import Discovery
from trackside_protos.runners.v1.runners_service_pb2 import Assignment

RUN_ID = "0123456789abcdef"
NOWHERE = "127.0.0.1:1"


def test_delivered_run_that_finds_the_disk_full_is_forgotten_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = AgentFolder(tmp_path)
    folder.make()
    run = folder.run(RUN_ID)
    run.store(Assignment())
    run.mark_ended()
    location = Location(NOWHERE, "token", tmp_path)
    sender = Sender(location, "agent-1", 1, on_control=print, on_warning=print)
    host = Host(folder, NOWHERE, Discovery(), sender)
    host.start()

    with monkeypatch.context() as disk:
        disk.setattr("trackside_agent.durable.write", fail)
        host.keep_house()
        host.keep_house()
    held = host.held_run_ids
    host.keep_house()
    host.stop()

    assert held == [RUN_ID]
    assert caplog.text.count("cannot be forgotten yet: [Errno 28] No space left on device") == 1
    assert host.held_run_ids == []
    assert folder.has_ended(RUN_ID)


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
