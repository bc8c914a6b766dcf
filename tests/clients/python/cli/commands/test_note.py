import io
from pathlib import Path

import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, child
from support.scripted_server import ScriptedServer
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
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "and more" >> "$1"\ntouch -d "2 hours" "$1"\n', "utf-8")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))

    command("note", "--edit", CHILD_ID)

    assert _sent(server) == [("# Digits\n\x1b[2Jslow\nand more", ["notes"])]


def test_an_editor_that_is_left_without_saving_changes_nothing(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "true")

    assert command("note", "--edit", CHILD_ID).err == "The note is as it was.\n"
    assert _sent(server) == []


def test_a_text_and_an_editor_are_too_much(command: Command, server: ScriptedServer) -> None:
    assert command("note", "--edit", CHILD_ID, "text").code == 2
    assert _sent(server) == []
