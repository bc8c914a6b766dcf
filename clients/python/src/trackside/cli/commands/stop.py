"""`trackside stop`: lets runs clean up and end, after asking, and waits for the proof."""

from datetime import timedelta
from typing import Final

import click
from google.protobuf.duration_pb2 import Duration

from trackside.cli.asking import Asking, asking_options, waiting_options
from trackside.cli.ending import end_runs
from trackside.cli.option_types import DURATION
from trackside.cli.options import server_option
from trackside.cli.reach import connect
from trackside.cli.targets import Deed
from trackside.cli.terminal import Terminal
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction
from trackside_protos.runs.v1.runs_service_pb2 import StopRunRequest

_USUAL_GRACE: Final = timedelta(seconds=10)
"""What a server gives where nothing is said."""

_STOP: Final = Deed("stop", "stopped", RunAction.RUN_ACTION_STOP)


@click.command()
@asking_options
@waiting_options
@click.option(
    "--grace",
    type=DURATION,
    metavar="DURATION",
    help="How long the work may take to clean up, for example 30s. Default: 10s.",
)
@server_option
def stop(
    asking: Asking, *, patience: float | None, grace: timedelta | None, server: str | None
) -> int:
    """Let runs clean up and end, and the children of parents with them.

    Lists what would be stopped and asks. The work gets the signal TERM, or KeyboardInterrupt
    in a program that reports by itself; what is left after the grace time is killed. The wait
    for the proof begins when the grace time is over. RUN may be `-`: the runs that stdin
    names, one a line.
    """
    terminal = Terminal.of_process()
    with connect(server) as connection:

        def send(run: Run) -> Run:
            request = StopRunRequest(run_id=run.run_id, grace_duration=_message(grace))
            return connection.call(connection.runs.StopRun, request).run

        targets = asking.targets(connection, terminal, _STOP)
        if patience is not None:
            patience += (_USUAL_GRACE if grace is None else grace).total_seconds()
        return end_runs(connection, terminal, _STOP, targets, send, patience=patience)


def _message(grace: timedelta | None) -> Duration | None:
    if grace is None:
        return None
    duration = Duration()
    duration.FromTimedelta(grace)
    return duration
