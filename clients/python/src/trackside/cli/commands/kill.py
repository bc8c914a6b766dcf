"""`trackside kill`: ends runs at once, after asking, and waits for the proof."""

from collections.abc import Sequence
from typing import Final

import click

from trackside.cli.ending import end_runs
from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation_for
from trackside.cli.options import ending_options, server_option
from trackside.cli.proof import Proof
from trackside.cli.reach import connect
from trackside.cli.targets import Deed, ask, find_targets, show_plan
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction
from trackside_protos.runs.v1.runs_service_pb2 import ForceEndRunRequest, KillRunRequest

_KILL: Final = Deed("kill", "killed", RunAction.RUN_ACTION_KILL)
_FORCE: Final = Deed(
    "force the end of",
    "ended by force",
    RunAction.RUN_ACTION_FORCE_END,
    warning="Nobody has confirmed that these runs are over: processes of them may be left, and\n"
    "may go on working. They are recorded as unconfirmed; this cannot be undone.",
)


@click.command()
@ending_options
@click.option(
    "--force-end",
    is_flag=True,
    help="For admins: end runs whose kill nobody confirms, without proof.",
)
@server_option
def kill(  # noqa: PLR0913  # one for each option
    runs: tuple[str, ...],
    *,
    yes: bool,
    dry_run: bool,
    no_wait: bool,
    timeout: float,
    force_end: bool,
    server: str | None,
) -> int:
    """End runs at once, and the children of parents with them.

    Lists what would be killed and asks. A run is TERMINATED when its agent has confirmed that
    no process of it is left; until then it carries the condition KILLING. RUN may be `-`: the
    runs that stdin names, one a line.
    """
    terminal = Terminal.of_process()
    deed = _FORCE if force_end else _KILL
    with connect(server) as connection:
        targets = find_targets(connection, runs)
        if dry_run:
            return show_plan(terminal, deed, targets)
        if not yes:
            ask(terminal, deed, targets)
        if force_end:
            return _force(connection, terminal, targets)

        def send(run: Run) -> Run:
            request = KillRunRequest(run_id=run.run_id)
            return connection.call(connection.runs.KillRun, request).run

        wait = None if no_wait else timeout
        return end_runs(connection, terminal, deed, targets, send, wait=wait)


def _force(connection: Connection, terminal: Terminal, targets: Sequence[Run]) -> int:
    """Force the end of each, which needs no following: it is there or refused at once."""
    code: int = ExitCode.OK
    for target in targets:
        request = ForceEndRunRequest(run_id=target.run_id)
        try:
            ended = connection.call(connection.runs.ForceEndRun, request).run
        except TracksideError as error:
            terminal.say(*explanation_for(target.run_id, error))
            code = code or exit_code_of(error)
        else:
            terminal.say(f"Ended {target.run_id} without proof.")
            Proof(ended, RunAction.RUN_ACTION_KILL, terminal).show()
    return code
