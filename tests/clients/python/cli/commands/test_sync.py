import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.rpc import code_pb2

from support.append_server import AppendServer, Refusal
from support.command_line import Command, Done
from trackside.cli import main
from trackside.client.errors import TracksideError
from trackside.delivery import leftovers
from trackside.delivery.depot import Depot
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


def spool(location: Location, message: str, abandoned: Abandoned = Abandoned.CRASHED) -> str:
    run_id = new_identifier()
    identity = Identity(run_id, "sdk-1", server=location.destination, abandoned=abandoned)
    outbox = Outbox(SpoolFolder.of(location.home, identity), identity, create=created(run_id))
    outbox.log([LogEntry(message=message)])
    outbox.close()
    return run_id


def give_up_at_the_first_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Depot.failed

    def failed(depot: Depot, error: TracksideError) -> None:
        note(depot, error)
        monkeypatch.setattr(leftovers, "PATIENCE_SECONDS", 0.0)

    monkeypatch.setattr(Depot, "failed", failed)


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
        give_up_at_the_first_refusal(hurry)
        done = command("sync")

    assert (done.code, done.out) == (6, "")
    assert done.err.splitlines() == [
        f"{run_id} is not delivered",
        f"error: no server answers at {location.server}: connection refused",
        "hint: start a server with `trackside up`, or set TRACKSIDE_SERVER to another address",
    ]
    append_server.start()
    assert main.run(["sync"]) == 0


@pytest.mark.parametrize("token", ["wrong", "two\nlines"])
def test_a_refused_token_is_told_as_by_every_command(
    token: str, command: Command, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = spool(location, "kept")
    monkeypatch.setenv("TRACKSIDE_TOKEN", token)
    give_up_at_the_first_refusal(monkeypatch)

    done = command("sync")

    assert (done.code, done.out) == (4, "")
    told = done.err.splitlines()
    assert told[0] == f"{run_id} is not delivered"
    assert [line.split(":")[0] for line in told[1:]] == ["error", "hint"]


def test_a_server_that_never_answers_is_told(
    command: Command, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackside.delivery.leftovers.PATIENCE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("TRACKSIDE_SERVER", address)
        run_id = spool(replace(location, server=address), "kept")

        done = command("sync")

    assert (done.code, done.out) == (6, "")
    assert done.err.splitlines() == [
        f"{run_id} is not delivered",
        f"error: {address} took nothing for 0.5 seconds",
        "hint: what is left stays kept: try again later",
    ]


def test_what_is_of_a_deleted_run_is_named_and_kept(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = spool(location, "kept")
    append_server.refuse["create"] = lambda _: Refusal(code_pb2.NOT_FOUND, "RUN_DELETED")

    done = command("sync")

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == f"{run_id} is not delivered"
    assert done.err.splitlines()[1].startswith(f"run {run_id}: ")


PLACES = {
    "a home": "",
    "the spool of a home": "spool",
    "the folder of a run": "spool/{run_id}",
    "a single spool": "spool/{run_id}/sdk-1-1",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_is_kept_in_a_folder_is_delivered_once_however_often_it_is_named(
    command: Command, location: Location, append_server: AppendServer, tmp_path: Path, place: str
) -> None:
    away = replace(location, home=tmp_path / "away", server="elsewhere:1")
    run_id = spool(away, "kept")
    folder = away.home / place.format(run_id=run_id)

    first = command("sync", str(folder))
    again = command("sync", str(folder))

    assert first == Done(0, f"{run_id} delivered\n", "")
    assert again == Done(0, "", f"{folder}: nothing is kept there\n")
    assert append_server.only_run().messages == ["kept"]


def test_a_copy_and_its_original_are_delivered_once(
    command: Command, location: Location, append_server: AppendServer, tmp_path: Path
) -> None:
    run_id = spool(location, "kept")
    shutil.copytree(location.home / "spool", tmp_path / "copy")

    copy = command("sync", str(tmp_path / "copy"))
    original = command("sync")

    assert copy == original == Done(0, f"{run_id} delivered\n", "")
    assert append_server.only_run().messages == ["kept"]


def test_several_folders_are_delivered_and_the_home_is_left_alone(
    command: Command, location: Location, append_server: AppendServer, tmp_path: Path
) -> None:
    spool(location, "at home")
    homes = [replace(location, home=tmp_path / name) for name in ("one", "two")]
    run_ids = [spool(home, "away") for home in homes]

    done = command("sync", *(str(home.home) for home in homes))

    assert done == Done(0, "".join(f"{each} delivered\n" for each in sorted(run_ids)), "")
    assert set(append_server.runs) == set(run_ids)


def test_what_an_agent_keeps_is_left_to_it(
    command: Command, location: Location, append_server: AppendServer
) -> None:
    run_id = spool(location, "kept", abandoned=Abandoned.KEPT)

    everywhere = command("sync")
    named = command("sync", str(location.home))

    assert everywhere == Done(0, "", "")
    assert named == Done(0, "", f"{run_id} is left to its agent, which delivers it itself\n")
    assert append_server.runs == {}


def test_a_folder_that_is_not_there_is_said_before_anything_is_delivered(
    command: Command, location: Location, append_server: AppendServer, tmp_path: Path
) -> None:
    spool(location, "kept")

    done = command("sync", str(location.home), str(tmp_path / "typo"))

    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines() == [
        f"error: there is no folder {tmp_path / 'typo'}",
        "hint: DIR is a home, or a spool in it",
    ]
    assert append_server.runs == {}
