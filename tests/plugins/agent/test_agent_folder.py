"""What the agent keeps on the disk: killed while it forgets, read while it stores."""

import errno
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trackside_agent.agent_folder import AgentFolder
from trackside_agent.deletion_folder import DeletionFolder, Outcome
from trackside_agent.run_folder import RunFolder, StoredCommand
from trackside_plugin_interface import Handle
from trackside_protos.runners.v1.runners_service_pb2 import Assignment, DeletionOrder

RUN_ID = "0123456789abcdef"
HANDLE: Handle = {"folder": "/somewhere"}


class KilledError(BaseException):
    """The process ends here."""


@contextmanager
def killed_after(removals: int) -> Generator[None]:
    """Die when so many files were removed and another one is to be."""
    remove, removed = os.unlink, 0

    def unlink(*arguments: object, **more: object) -> None:
        nonlocal removed
        if removed == removals:
            raise KilledError
        removed += 1
        remove(*arguments, **more)  # pyright: ignore[reportArgumentType] - as it was called

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "unlink", unlink)
        with pytest.raises(KilledError):
            yield


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path / "home")
    folder.make()
    return folder


def ended_run(folder: AgentFolder) -> RunFolder:
    run = folder.run(RUN_ID)
    run.store(Assignment(reporter_token="none"))  # noqa: S106 - none
    run.mark_launching()
    run.store_handle(HANDLE)
    run.store_command(StoredCommand("r1", is_kill=True, grace_seconds=0.0, time=1.0))
    run.mark_ended()
    (run.runner_directory / "start.json").touch()
    return run


@pytest.mark.parametrize("removals", range(6))
def test_run_whose_folder_is_half_removed_is_not_begun_again(
    folder: AgentFolder, removals: int
) -> None:
    run = ended_run(folder)

    with killed_after(removals):
        run.remove()

    (left,) = folder.runs()
    if removals == 0:
        assert left.is_ended
    else:
        with pytest.raises(FileNotFoundError):
            left.assignment()


def test_command_is_known_at_every_moment_once_it_is_taken_in(
    folder: AgentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended_run(folder)
    kept = list(run.commands)
    full, late = (StoredCommand(name, is_kill=True, grace_seconds=0.0, time=2.0) for name in "ab")
    with monkeypatch.context() as disk:
        disk.setattr("trackside_agent.durable.write", fail)
        run.store_command(full)
    storing = threading.Thread(target=run.store_command, args=(late,))
    read = Path.read_bytes

    def read_then_stored(path: Path) -> bytes:
        contents = read(path)
        if storing.ident is None:
            storing.start()
            storing.join(0.5)  # as far as it comes while another reads
        return contents

    monkeypatch.setattr(Path, "read_bytes", read_then_stored)
    seen = run.commands
    storing.join()

    assert seen in ([*kept, full], [*kept, full, late])
    assert run.commands == [*kept, full, late]


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("removals", range(2))
def test_deletion_whose_folder_is_half_removed_is_not_carried_out_again(
    folder: AgentFolder, removals: int
) -> None:
    deletion = folder.deletion("r1")
    deletion.store(DeletionOrder(request_id="r1"))
    deletion.note_outcome(0, Outcome(is_deleted=True))

    with killed_after(removals):
        deletion.remove()

    (left,) = folder.deletions()
    if removals == 0:
        assert outcomes_of(left) == {0: Outcome(is_deleted=True)}
    else:
        with pytest.raises(FileNotFoundError):
            left.load()


def outcomes_of(deletion: DeletionFolder) -> dict[int, Outcome]:
    deletion.load()
    return deletion.outcomes
