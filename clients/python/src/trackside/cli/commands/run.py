"""`trackside run`: starts a command, or a sweep of it, as a run."""

import os
from pathlib import Path
from typing import Any, Final

import click

from trackside.cli.end_of_run import exit_code_of_run
from trackside.cli.exit_codes import ExitCode
from trackside.cli.follow import follow_lines
from trackside.cli.formats import Format, document_lines, plain
from trackside.cli.options import output_option, server_option
from trackside.cli.order import Order, Shell
from trackside.cli.parameters import AssignmentError
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.identifiers import new_identifier
from trackside.location import is_on_this_machine
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

_HELP: Final = """Start COMMAND as a run and follow it to its end.

\b
trackside run -- python3 train.py --epochs 3
trackside run --sweep alpha=0.1,1,10 -- python3 fit.py --alpha {alpha}

Says which run it is first; -o chooses how. Ctrl-C detaches: the run goes on. Followed to
its end, the exit code is the command's own (128 + N after signal N); of a sweep 0, 10 (not
all completed) or 11 (ended by a user).

On the server's own machine the command starts in this folder and with this shell's PATH,
VIRTUAL_ENV, CONDA_PREFIX and PYTHONPATH; --workdir and --env say otherwise."""


@click.command(help=_HELP, context_settings={"allow_interspersed_args": False})
@click.option("-d", "--detach", is_flag=True, help="Do not follow; only say which run it is.")
@click.option("--name", default="", help="What to call it. Default: made from the command.")
@click.option("--project", default="", help="Which project it belongs to.")
@click.option("--tag", "tags", multiple=True, help="A free word; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="May be repeated.")
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="K=V",
    help="A parameter; {K} in the command stands for it. May be repeated.",
)
@click.option("--runner", default="local", show_default=True, help="Which runner launches it.")
@click.option("--workdir", help="Where to start. Default: here, if the server is on this machine.")
@click.option("--env", "environment", multiple=True, metavar="K=V", help="May be repeated.")
@click.option(
    "--sweep",
    "axes",
    multiple=True,
    metavar="K=A,B,C",
    help="One run for each value; of several --sweep one for each combination.",
)
@click.option("--parallelism", type=click.IntRange(0), default=0, help="Of a sweep, at once.")
@click.option("--protect", is_flag=True, help="Stay IDLE after the end, until a user ends it.")
@output_option
@server_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(*, detach: bool, output: str, server: str | None, **ordered: Any) -> int:  # noqa: ANN401
    """Start a command as a run; the help above says more."""
    with Connection.discover(server) as connection:
        is_here = is_on_this_machine(connection.location.server)
        shell = Shell(str(Path.cwd()), os.environ) if is_here else None
        try:
            wanted = Order(**ordered).to_run(new_identifier(), shell)
        except AssignmentError as error:
            raise click.UsageError(str(error)) from error
        request = CreateRunRequest(run=wanted)
        created = connection.call(connection.runs.CreateRun, request).run
        terminal = Terminal.of_process()
        _announce(terminal, created, Format(output), detach=detach)
        return ExitCode.OK if detach else _follow(connection, created, terminal)


def _announce(terminal: Terminal, created: Run, form: Format, *, detach: bool) -> None:
    """Say which run it is: for people, and for programs on stdout."""
    sentence = f"Run {created.run_id} submitted: trackside describe {created.run_id}"
    match form:
        case Format.NAME:
            terminal.show([created.run_id])
        case Format.JSON | Format.YAML:
            terminal.show(document_lines({"run": plain(created)}, form))
        case _ if detach:
            terminal.show([sentence])
        case _:
            terminal.say(sentence)


def _follow(connection: Connection, created: Run, terminal: Terminal) -> int:
    try:
        return exit_code_of_run(follow_lines(connection, created, terminal))
    except KeyboardInterrupt:
        run_id = created.run_id
        terminal.say(
            "",
            f"Detached; run {run_id} goes on.",
            f"hint: `trackside watch {run_id}` follows it, `trackside kill {run_id}` ends it",
        )
        return ExitCode.INTERRUPTED
