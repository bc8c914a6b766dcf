"""Files of a runner that nobody wants any more, and a line that is cut: nothing stays open."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from support.agents import new_run_id
from support.control_room import ControlRoom
from support.eventually import eventually
from trackside.client.connection import Connection
from trackside.location import Location
from trackside_agent import dialing
from trackside_agent.agent_folder import AgentFolder
from trackside_agent.delivery import Sender
from trackside_agent.dialing import Dialer
from trackside_agent.host import Host
from trackside_agent.runner_thread import RunnerThread
from trackside_agent.sending import FileSender
from trackside_plugin_interface import (
    Discovery,
    Handle,
    OpenedFile,
    OpenedFolder,
    OutputPlace,
    Reporter,
    Runner,
    RunSpec,
)
from trackside_protos.runners.v1.runners_service_pb2 import FileRead

ROUNDS = 50
"""So often the loop has to turn before something is done."""


class EndlessFile(OpenedFile):
    """A file that takes its time to be closed."""

    is_closed = False

    @property
    @override
    def size_bytes(self) -> int:
        return 1 << 40

    @property
    @override
    def version(self) -> str:
        return "1"

    @override
    async def read(self, offset: int, limit: int) -> bytes:
        return bytes(limit)

    @override
    async def close(self) -> None:
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        self.is_closed = True


class Opener(Runner):
    """Opens endless files, and does something before it says so."""

    def __init__(self) -> None:
        self.file = EndlessFile()
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    @override
    def name(self) -> str:
        return "opener"

    @override
    async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
        raise NotImplementedError

    @override
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        raise NotImplementedError

    @override
    async def kill(self, handle: Handle) -> None:
        raise NotImplementedError

    @override
    async def open_output(self, place: OutputPlace) -> OpenedFile | OpenedFolder:
        self.meanwhile()
        return self.file


@pytest.fixture
def runner() -> Opener:
    return Opener()


@pytest.fixture
def thread(runner: Opener) -> Iterator[RunnerThread]:
    thread = RunnerThread(runner)
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def location(room: ControlRoom, tmp_path: Path) -> Location:
    return Location(room.address, "token", tmp_path)


@pytest.fixture
def sender(location: Location, thread: RunnerThread) -> Iterator[FileSender]:
    with Connection(location) as connection:
        sender = FileSender(connection, lambda: (), lambda _: thread)
        yield sender
        sender.stop()


def read() -> FileRead:
    return FileRead(read_id=new_run_id(), run_id=new_run_id(), location="/large")


def test_file_that_is_opened_when_nobody_waits_for_it_any_more_is_closed(
    room: ControlRoom, sender: FileSender, runner: Opener
) -> None:
    asked = read()

    def hang_up() -> None:
        (sending,) = sender._open
        eventually(lambda: sending._waiting)
        sending.hang_up()

    runner.meanwhile = hang_up

    sent = room.read(asked)
    sender.take(asked)

    eventually(lambda: runner.file.is_closed)
    assert sent.pieces == []


def test_nothing_is_open_any_more_when_sending_has_stopped(
    room: ControlRoom, sender: FileSender, runner: Opener
) -> None:
    asked = read()
    held = room.read(asked, says_taken=False)
    sender.take(asked)
    room.wait(lambda: held.pieces)

    sender.stop()

    assert runner.file.is_closed


def test_dialer_that_is_stopped_before_it_has_called_does_not_call(
    room: ControlRoom, location: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "STOP_SECONDS", None)  # for ever, if it goes on
    folder = AgentFolder(tmp_path / "home")
    folder.make()
    sender = Sender(location, "agent-1", 1, on_control=print, on_warning=print)
    host = Host(folder, room.address, Discovery({}, {}, []), sender)
    dialer = Dialer(location, "agent-1", host)

    def metadata() -> tuple[tuple[str, str], ...]:
        dialer._stopping.wait()  # so it is stopped just when it is about to call
        return ()

    monkeypatch.setattr(dialer, "_metadata", metadata)
    host.start()
    dialer.start()

    dialer.stop()

    assert not dialer._thread.is_alive()
    host.stop()
