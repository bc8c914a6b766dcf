import io
from pathlib import Path

import grpc
import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, child
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.runs.v1.runs_service_pb2 import GetRunResponse, UpdateRunResponse


@pytest.fixture(autouse=True)
def noted(command: Command, server: ScriptedServer) -> None:
    assert command  # which comes first, with runs of its own
    run = child()
    run.notes = "# Digits\n\x1b[2Jslow"
    server.answers["GetRun"] = GetRunResponse(run=run)
    server.answers["UpdateRun"] = UpdateRunResponse(run=run)


def _sent(server: ScriptedServer) -> list[tuple[str, list[str]]]:
    return [(a.run.notes, list(a.update_mask.paths)) for a in server.requests["UpdateRun"]]


def test_a_note_is_shown_with_escapes_written_out(command: Command, server: ScriptedServer) -> None:
    assert command("note", CHILD_ID).out == "# Digits\n\\x1b[2Jslow\n"
    assert _sent(server) == []


def test_a_note_is_replaced(command: Command, server: ScriptedServer) -> None:
    done = command("note", CHILD_ID, "too slow")

    assert (done.code, done.err) == (0, f"Noted on {CHILD_ID}.\n")
    assert _sent(server) == [("too slow", ["notes"])]


def test_an_empty_text_removes_the_note(command: Command, server: ScriptedServer) -> None:
    assert command("note", CHILD_ID, "").err == "The note is gone.\n"
    assert _sent(server) == [("", ["notes"])]


def test_a_note_is_read_from_stdin(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("# From a file\n\nall of it\n"))

    command("note", CHILD_ID, "-")

    assert _sent(server) == [("# From a file\n\nall of it", ["notes"])]


def test_a_note_is_changed_in_an_editor(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _let_edit(monkeypatch, tmp_path)

    command("note", "--edit", CHILD_ID)

    assert _sent(server) == [("# Digits\n\x1b[2Jslow\nand more", ["notes"])]


def _let_edit(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    editor = folder / "editor"
    editor.write_text('#!/bin/sh\necho "and more" >> "$1"\ntouch -d "2 hours" "$1"\n', "utf-8")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))


def test_an_edit_says_from_which_note_it_went_out(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _let_edit(monkeypatch, tmp_path)

    command("note", "--edit", CHILD_ID)
    command("note", CHILD_ID, "whatever it was")

    edited, replaced = server.requests["UpdateRun"]
    assert edited.expected_run.notes == "# Digits\n\x1b[2Jslow"
    assert not replaced.HasField("expected_run")


def test_what_was_written_while_somebody_else_changed_the_note_is_kept(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _let_edit(monkeypatch, tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    changed = "Somebody else has changed the run's notes meanwhile."
    server.answers["UpdateRun"] = Refused(grpc.StatusCode.ABORTED, "RUN_CHANGED", changed)

    done = command("note", "--edit", CHILD_ID)

    [kept] = tmp_path.glob(f"trackside-note-{CHILD_ID}-*.md")
    assert kept.read_text("utf-8") == "# Digits\n\x1b[2Jslow\nand more\n"
    assert done.code == 5
    assert str(kept) in done.err
    assert f"error: {changed}" in done.err


def test_an_editor_that_is_left_without_saving_changes_nothing(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "true")

    assert command("note", "--edit", CHILD_ID).err == "The note is as it was.\n"
    assert _sent(server) == []


def test_a_text_and_an_editor_are_too_much(command: Command, server: ScriptedServer) -> None:
    assert command("note", "--edit", CHILD_ID, "text").code == 2
    assert _sent(server) == []
