from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.append_server import AppendServer
from support.command_line import Command, Done
from trackside.cli import main
from trackside.delivery.outbox import Outbox
from trackside.identifiers import new_identifier
from trackside.location import Location, discover
from trackside.spool.folder import Abandoned, Identity, SpoolFolder
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest


@pytest.fixture
def append_server() -> Iterator[AppendServer]:
    server = AppendServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def location(  # after `command`, which points to a server that takes nothing
    command: Command, append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> Location:
    assert command
    monkeypatch.setenv("TRACKSIDE_SERVER", append_server.address)
    monkeypatch.setenv("TRACKSIDE_TOKEN", append_server.token)
    return discover()


def spool(location: Location, message: str) -> str:
    run_id = new_identifier()
    identity = Identity(run_id, "sdk-1", server=location.destination, abandoned=Abandoned.CRASHED)
    outbox = Outbox(SpoolFolder.of(location.home, identity), identity, create=created(run_id))
    outbox.log([LogEntry(message=message)])
    outbox.close()
    return run_id


def created(run_id: str) -> CreateRunRequest:
    return CreateRunRequest(run=Run(run_id=run_id), producer_id="sdk-1")


def test_what_is_kept_is_delivered(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = spool(location, "kept")

    done = command("sync")

    assert done == Done(0, f"{run_id} delivered\n", "")
    assert append_server.only_run().messages == ["kept"]


def test_a_program_that_still_reports_is_not_waited_for(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = new_identifier()
    identity = Identity(run_id, "sdk-1", server=location.destination, abandoned=Abandoned.CRASHED)
    outbox = Outbox(SpoolFolder.of(location.home, identity), identity, create=created(run_id))
    outbox.log([LogEntry(message="first")])

    early = command("sync")
    outbox.log([LogEntry(message="last")])
    outbox.close()
    late = command("sync")

    assert early == Done(0, f"{run_id} delivered so far; its program still reports\n", "")
    assert late == Done(0, f"{run_id} delivered\n", "")
    assert append_server.only_run().messages == ["first", "last"]


def test_with_nothing_kept_nothing_is_said(command: Command, location: Location) -> None:
    assert location.home
    assert command("sync") == Done(0, "", "")


def test_what_a_program_with_a_token_of_its_own_has_kept_is_delivered_with_ours(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = spool(replace(location, token="expired"), "kept")  # noqa: S106  # no secret
    (location.home / "token").write_text(append_server.token, "utf-8")

    assert command("sync") == Done(0, f"{run_id} delivered\n", "")
    assert append_server.only_run().messages == ["kept"]


def test_what_another_server_is_meant_to_have_is_left(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = spool(replace(location, server="elsewhere:1"), "kept")

    done = command("sync")

    assert done == Done(0, "", f"{run_id} is meant for another server\n")
    assert append_server.runs == {}


def test_what_cannot_be_read_is_named_and_kept(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = spool(location, "damaged")
    kept = spool(location, "kept")
    folder = location.home / "spool" / run_id / "sdk-1-1"
    (folder / "00000001.segment").write_bytes(b"\0" * 300)

    done = command("sync")

    told = f"{folder} cannot be read, and is kept as it is\n"
    assert done == Done(1, f"{kept} delivered\n", told)
    assert folder.exists()
    assert append_server.only_run().messages == ["kept"]


def test_what_nobody_takes_stays_kept(
    command: Command,
    location: Location,
    append_server: AppendServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = spool(location, "kept")
    append_server.stop()

    with monkeypatch.context() as hurry:
        hurry.setattr("trackside.delivery.leftovers.PATIENCE_SECONDS", 0.5)
        done = command("sync")

    assert (done.code, done.out) == (6, "")
    assert done.err.splitlines()[0] == f"{run_id} is not delivered"
    assert "connection refused" in done.err
    append_server.start()
    assert main.run(["sync"]) == 0
