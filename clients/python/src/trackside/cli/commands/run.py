"""`trackside run`: starts a command, or a sweep of it, as a run."""

import os
from typing import Any, Final

import click

from trackside.cli.environment_files import variables_of
from trackside.cli.option_types import DURATION, SIZE
from trackside.cli.options import order_options, output_option, server_option
from trackside.cli.order import Order, Shell
from trackside.cli.parameters import AssignmentError
from trackside.cli.reach import connect
from trackside.cli.submission import submit
from trackside.client.orders import id_of_order, work_directory_of
from trackside.location import is_on_this_machine

_HELP: Final = """Start COMMAND as a run and follow it to its end.

\b
trackside run -- python3 train.py --epochs 3
trackside run --sweep alpha=0.1,1,10 -- python3 fit.py --alpha {alpha}
trackside run --time-limit 1h --memory-limit 2GB --env-file .env -- ./nightly.sh

Says which run it is first; -o chooses how. Ctrl-C detaches: the run goes on. Followed to
its end, the exit code is the command's own (128 + N after signal N); of a sweep 0, 10 (not
all completed) or 11 (ended by a user).

On the server's own machine the command starts in this folder and with this shell's PATH,
VIRTUAL_ENV, CONDA_PREFIX and PYTHONPATH; --workdir and --env say otherwise."""


@click.command(help=_HELP, context_settings={"allow_interspersed_args": False})
@order_options
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
@click.option(
    "--time-limit", type=DURATION, metavar="DURATION", help="End it after so long: 90s, 1h30m."
)
@click.option(
    "--memory-limit", type=SIZE, metavar="SIZE", help="End it when it holds more: 512MB, 2GiB."
)
@click.option("--machine-type", default="", help="Where the engine has a choice.")
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
def run(
    *,
    detach: bool,
    output: str,
    server: str | None,
    env_files: tuple[str, ...],
    request_id: str,
    **ordered: Any,  # noqa: ANN401
) -> int:
    """Start a command as a run; the help above says more."""
    from_files = variables_of(env_files)
    with connect(server) as connection:
        is_here = is_on_this_machine(connection.location.server)
        wanted_folder = ordered["workdir"] or ""
        shell = Shell(work_directory_of(wanted_folder), os.environ) if is_here else None
        try:
            order = Order(**ordered, from_files=from_files)
            wanted = order.to_run(id_of_order(connection, request_id), shell)
        except AssignmentError as error:
            raise click.UsageError(str(error)) from error
        return submit(connection, wanted, output=output, detach=detach)
