"""`trackside kill`: ends runs at once, after asking, and waits for the proof."""

from typing import Final

import click

from trackside.cli.asking import Asking, asking_options, waiting_options
from trackside.cli.ending import end_runs
from trackside.cli.options import server_option
from trackside.cli.proof import Proof
from trackside.cli.reach import connect
from trackside.cli.targets import Deed, act_on_each
from trackside.cli.terminal import Terminal
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
@asking_options
@waiting_options
@click.option(
    "--force-end",
    is_flag=True,
    help="For admins: end runs whose kill nobody confirms, without proof.",
)
@server_option
def kill(asking: Asking, *, patience: float | None, force_end: bool, server: str | None) -> int:
    """End runs at once, and the children of parents with them.

    Lists what would be killed and asks. A run is TERMINATED when its agent has confirmed that
    no process of it is left; until then it carries the condition KILLING. RUN may be `-`: the
    runs that stdin names, one a line.
    """
    terminal = Terminal.of_process()
    deed = _FORCE if force_end else _KILL
    with connect(server) as connection:

        def send(run: Run) -> Run:
            request = KillRunRequest(run_id=run.run_id)
            return connection.call(connection.runs.KillRun, request).run

        def force(run: Run) -> None:
            # Needs no following: it is there or refused at once.
            request = ForceEndRunRequest(run_id=run.run_id)
            ended = connection.call(connection.runs.ForceEndRun, request).run
            terminal.say(f"Ended {run.run_id} without proof.")
            Proof(ended, RunAction.RUN_ACTION_KILL, terminal).show()

        targets = asking.targets(connection, terminal, deed)
        if force_end:
            return act_on_each(terminal, targets, force)
        return end_runs(connection, terminal, deed, targets, send, patience=patience)
