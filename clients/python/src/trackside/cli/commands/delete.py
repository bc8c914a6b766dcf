"""`trackside delete`: removes ended runs from history for good, after asking."""

from typing import Final

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation_for
from trackside.cli.options import asking_options, server_option
from trackside.cli.reach import connect
from trackside.cli.targets import Deed, ask, find_targets, show_plan
from trackside.cli.terminal import Terminal
from trackside.client.errors import TracksideError
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
def delete(runs: tuple[str, ...], *, yes: bool, dry_run: bool, server: str | None) -> int:
    """Remove ended runs with everything they own, and the children of parents with them.

    Lists what would be deleted and asks. Files that a run published stay where they are. RUN
    may be `-`: the runs that stdin names, one a line.
    """
    terminal = Terminal.of_process()
    code: int = ExitCode.OK
    with connect(server) as connection:
        targets = find_targets(connection, runs)
        if dry_run:
            return show_plan(terminal, _DELETE, targets)
        if not yes:
            ask(terminal, _DELETE, targets)
        for target in targets:
            request = DeleteRunRequest(run_id=target.run_id)
            try:
                count = connection.call(connection.runs.DeleteRun, request).deleted_count
            except TracksideError as error:
                terminal.say(*explanation_for(target.run_id, error))
                code = code or exit_code_of(error)
            else:
                terminal.say(_said(target.run_id, count))
    return code


def _said(run_id: str, deleted_count: int) -> str:
    if not deleted_count:
        return f"{run_id} was gone before."
    children = deleted_count - 1
    too = f" and {children} child{'' if children == 1 else 'ren'}" if children else ""
    return f"Successfully deleted {run_id}{too}."
