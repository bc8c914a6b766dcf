"""`trackside download`: has what a run has published on this machine."""

from collections.abc import Sequence
from pathlib import Path

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError, exit_code_of, explanation_for
from trackside.cli.options import run_argument, server_option
from trackside.cli.output_choice import Chosen, chosen, places_of
from trackside.cli.reach import connect
from trackside.cli.safe_text import harmless
from trackside.cli.terminal import Terminal
from trackside.cli.transfer import Transfer
from trackside.client.errors import TracksideError
from trackside.client.handle import RunHandle, get_run

_STDOUT = "-"
_PIECE = 256 << 10


@click.command()
@run_argument
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option(
    "--to",
    metavar="DIR",
    help="The folder to write below, or - for the one file to stdout. Default: the folder"
    " outputs-RUN here; with PATHs, this folder.",
)
@click.option("--force", is_flag=True, help="Write over files that are there, never folders.")
@click.option("--changed", is_flag=True, help="Also what was written since it was published.")
@server_option
def download(  # one for each option
    run: str,
    *,
    paths: tuple[str, ...],
    to: str | None,
    force: bool,
    changed: bool,
    server: str | None,
) -> int:
    """Have what a run has published on this machine.

    All of it, or the PATHs that `trackside get outputs RUN` names; PATH may go on below a
    published folder. Goes on with what an interrupted download has left, and is held against
    the checksums. Nothing is written outside the folder, whatever the paths say.
    """
    terminal = Terminal.of_process()
    with connect(server) as connection:
        handle = get_run(run, connection=connection)
        wanted = chosen(handle.outputs(), paths)
        if to == _STDOUT:
            _write_out(terminal, wanted, accept_changed=changed)
            return ExitCode.OK
        if not wanted:
            terminal.say("No outputs.")
            return ExitCode.OK
        places = places_of(wanted, _folder(handle, to, is_part=bool(paths)))
        errors = _download(
            terminal, list(zip(wanted, places, strict=True)), force=force, changed=changed
        )
    return exit_code_of(errors[0]) if errors else ExitCode.OK


def _folder(handle: RunHandle, to: str | None, *, is_part: bool) -> Path:
    return Path(to or ("." if is_part else f"outputs-{handle.run_id}"))


def _download(
    terminal: Terminal, wanted: Sequence[tuple[Chosen, Path]], *, force: bool, changed: bool
) -> Sequence[TracksideError]:
    """Have each at its place, and say which could not be had, and why."""
    transfer = Transfer(terminal.err)
    errors: list[TracksideError] = []
    for one, place in wanted:
        transfer.begin(one.path)
        try:
            one.output.download_as(
                place,
                file=one.file,
                overwrite=force,
                accept_changed=changed,
                progress=transfer.progress,
            )
        except TracksideError as error:
            errors.append(error)
            transfer.end()
            terminal.say(*explanation_for(harmless(one.path), error))
        except OSError as error:
            transfer.end()
            message = f"cannot write {place}: {error.strerror or error}"
            raise CommandError(message, hint="--to names another place") from error
        else:
            transfer.end()
            terminal.show([harmless(str(place))])
    return errors


def _write_out(terminal: Terminal, wanted: Sequence[Chosen], *, accept_changed: bool) -> None:
    if len(wanted) != 1:
        message = f"one file goes to stdout, and here are {len(wanted)}"
        raise click.UsageError(message)
    [one] = wanted
    with one.output.open(file=one.file, accept_changed=accept_changed) as file:
        if terminal.out.isatty():
            for line in file:
                terminal.show([harmless(line.decode(errors="replace").rstrip("\r\n"))])
            return
        while piece := file.read(_PIECE):
            terminal.out.buffer.write(piece)
        terminal.out.flush()
