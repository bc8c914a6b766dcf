"""`trackside note`: shows or replaces the free text that people keep with a run."""

import shlex
import sys
import tempfile

import click
from google.protobuf.field_mask_pb2 import FieldMask

from trackside.cli.options import run_argument, server_option
from trackside.cli.reach import connect
from trackside.cli.safe_text import harmless
from trackside.cli.targets import STDIN
from trackside.cli.terminal import Terminal
from trackside.client.errors import TracksideError
from trackside.client.listing import get_run
from trackside.client.resolve import resolve_run
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import UpdateRunRequest


@click.command()
@run_argument
@click.argument("text", metavar="[TEXT | -]", required=False)
@click.option("--edit", is_flag=True, help="Change it in $VISUAL or $EDITOR.")
@server_option
def note(run: str, text: str | None, *, edit: bool, server: str | None) -> None:
    """Show the note of a run, or replace it by TEXT.

    \b
    trackside note @latest "alpha was too small"
    trackside note @latest - < report.md

    `-` reads the text from stdin, an empty text removes the note. --edit replaces nothing that
    somebody else has written meanwhile, and keeps what could not be noted in a file.
    """  # noqa: D301  # click's mark, not a backslash
    if edit and text is not None:
        message = "give a text or --edit, not both"
        raise click.UsageError(message)
    terminal = Terminal.of_process()
    with connect(server) as connection:
        found = get_run(connection, resolve_run(connection, run))
        wanted = _edited(found.notes) if edit else _given(text)
        if wanted is None:
            terminal.show(harmless(line) for line in found.notes.splitlines())
        elif wanted == found.notes:
            terminal.say("The note is as it was.")
        else:
            request = UpdateRunRequest(
                run=Run(run_id=found.run_id, notes=wanted),
                update_mask=FieldMask(paths=["notes"]),
                expected_run=Run(notes=found.notes) if edit else None,
            )
            try:
                connection.call(connection.runs.UpdateRun, request)
            except TracksideError:
                if edit:
                    terminal.say(*_kept(found.run_id, wanted))
                raise
            terminal.say(f"Noted on {found.run_id}." if wanted else "The note is gone.")


def _given(text: str | None) -> str | None:
    return sys.stdin.read().rstrip("\n") if text == STDIN else text


def _edited(notes: str) -> str:
    """Let the person change the note; what is left without being saved is as it was."""
    saved = click.edit(notes + "\n" if notes else "", extension=".md")
    return notes if saved is None else saved.rstrip("\n")


def _kept(run_id: str, text: str) -> list[str]:
    """Keep what was written by hand, and return how to go on with it."""
    descriptor, path = tempfile.mkstemp(prefix=f"trackside-note-{run_id}-", suffix=".md")
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  # a descriptor, not a path
        file.write(f"{text}\n" if text else "")
    again = f"trackside note {run_id} - < {shlex.quote(path)}"
    return [f"What you wrote is kept in {path}", f"  {again}    replaces the note by it"]
