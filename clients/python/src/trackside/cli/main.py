"""The command `trackside`: finds the command that is asked for and turns errors into exit codes."""

import gc
import io
import os
import sys
from collections.abc import Sequence

import click

from trackside.cli.command_table import (
    COMMANDS,
    COMPLETION_VARIABLE,
    ENTRY_POINT_GROUP,
    INSTALLED_SEPARATELY,
)
from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation
from trackside.cli.open_group import Offers, OpenGroup
from trackside.client.errors import TracksideError
from trackside.version import VERSION

_HELP = """Watch and steer long-running work.

\b
  trackside up                          start a server on this machine
  trackside run -- python3 train.py     start a command and follow it
  trackside get runs                    what runs
  trackside watch @latest               the newest run, live

RUN is an id, a unique beginning of one, a name, or @latest (@latest~1 is the one before)."""


trackside: OpenGroup = click.version_option(VERSION, message="%(prog)s %(version)s")(
    OpenGroup(
        name="trackside",
        places=COMMANDS,
        help_text=_HELP,
        offers=Offers(ENTRY_POINT_GROUP, INSTALLED_SEPARATELY),
    )
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; says on stderr what went wrong."""
    try:
        # Not `trackside.main`, which has its own mind about interruptions and closed pipes.
        with trackside.make_context("trackside", list(arguments)) as context:
            result: object = trackside.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return ExitCode.PIPE_CLOSED
    except (click.ClickException, TracksideError, OSError, UnicodeEncodeError) as problem:
        error = _named(problem) if isinstance(problem, UnicodeEncodeError) else problem
        for line in explanation(error):
            click.echo(line, err=True)
        return exit_code_of(error)
    return result if isinstance(result, int) else ExitCode.OK


def _named(error: UnicodeEncodeError) -> click.UsageError:
    """Return what to say of an argument, a folder or a variable that no message can hold."""
    return click.UsageError(f"{os.fsencode(error.object)!r} is not UTF-8, so it cannot be sent")


def _forget_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's end says nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the command line of this process."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its warnings are for its developers
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if asked := os.environ.get(COMPLETION_VARIABLE):
        from click.shell_completion import shell_complete  # noqa: PLC0415  # only for a shell

        from trackside.cli.shells import know_shells  # noqa: PLC0415  # see above

        know_shells()
        sys.exit(shell_complete(trackside, {}, "trackside", COMPLETION_VARIABLE, asked))
    code = run(sys.argv[1:])
    gc.freeze()  # the process ends: looking for garbage in all that was imported takes 20 ms
    sys.exit(code)
