"""`trackside delete`: removes ended runs from history for good, after asking."""

from typing import Final

import click

from trackside.cli.asking import Asking, asking_options
from trackside.cli.options import server_option
from trackside.cli.reach import connect
from trackside.cli.targets import Deed, act_on_each
from trackside.cli.terminal import Terminal
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction
from trackside_protos.runs.v1.runs_service_pb2 import DeleteRunRequest

_DELETE: Final = Deed(
    "delete",
    "deleted",
    RunAction.RUN_ACTION_DELETE,
    warning="Their logs, metrics, tasks and lists of outputs go with them, for good.",
)


@click.command()
@asking_options
@server_option
def delete(asking: Asking, server: str | None) -> int:
    """Remove ended runs with everything they own, and the children of parents with them.

    Lists what would be deleted and asks. Files that a run published stay where they are. RUN
    may be `-`: the runs that stdin names, one a line.
    """
    terminal = Terminal.of_process()
    with connect(server) as connection:

        def delete_one(target: Run) -> None:
            request = DeleteRunRequest(run_id=target.run_id)
            count = connection.call(connection.runs.DeleteRun, request).deleted_count
            terminal.say(_said(target.run_id, count))

        return act_on_each(terminal, asking.targets(connection, terminal, _DELETE), delete_one)


def _said(run_id: str, deleted_count: int) -> str:
    if not deleted_count:
        return f"{run_id} was gone before."
    children = deleted_count - 1
    too = f" and {children} child{'' if children == 1 else 'ren'}" if children else ""
    return f"Successfully deleted {run_id}{too}."
