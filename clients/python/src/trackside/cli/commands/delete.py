"""`trackside delete`: removes ended runs from history, or their published files, after asking."""

from collections.abc import Sequence
from typing import Final

import click

from trackside.cli.asking import Asking, asking_options, waiting_options
from trackside.cli.options import server_option
from trackside.cli.outputs_deletion import delete_outputs
from trackside.cli.reach import connect
from trackside.cli.removal import Removals
from trackside.cli.targets import Deed, act_on_each
from trackside.cli.terminal import Terminal
from trackside_protos.runs.v1.run_state_pb2 import RunAction

_DELETE: Final = Deed(
    "delete",
    "deleted",
    RunAction.RUN_ACTION_DELETE,
    warning="Their logs, metrics, tasks and lists of outputs go with them, for good.",
)


@click.command()
@asking_options
@waiting_options
@click.option(
    "--outputs", is_flag=True, help="Delete what they have published, where it is; the runs stay."
)
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="PATH",
    help="With --outputs: only this one, as `get outputs` names it; may be repeated.",
)
@server_option
def delete(
    asking: Asking,
    *,
    patience: float | None,
    outputs: bool,
    paths: Sequence[str],
    server: str | None,
) -> int:
    """Remove ended runs with everything they own, and the children of parents with them.

    Lists what would be deleted and asks. Files that a run published stay where they are, unless
    it is they that are to be deleted: then the word `delete` is to be typed. Waits for the proof:
    that nothing is left in any service, or the word of the run's agent. RUN may be `-`: the runs
    that stdin names, one a line.
    """
    if paths and not outputs:
        message = "--path is for --outputs"
        raise click.UsageError(message)
    terminal = Terminal.of_process()
    with connect(server) as connection:
        if outputs:
            return delete_outputs(connection, terminal, asking, paths, patience)
        removals = Removals(connection, terminal)
        targets = asking.targets(connection, terminal, _DELETE)
        code = act_on_each(terminal, targets, removals.remove)
        return removals.wait(patience) or code
