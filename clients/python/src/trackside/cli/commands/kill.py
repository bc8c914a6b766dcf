"""`trackside kill`: ends runs at once, after asking, and waits for the proof."""

import sys
from collections.abc import Sequence

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError, exit_code_of, explanation
from trackside.cli.options import server_option
from trackside.cli.rendering.pages import control_text
from trackside.cli.rendering.runs import run_table, state_text
from trackside.cli.terminal import Terminal, now
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside.client.handle import RunHandle
from trackside.client.listing import get_run
from trackside.client.resolve import resolve_run
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Do not wait until no process is left.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Wait at most so many seconds for the proof; then exit 7.",
)
@server_option
def kill(
    runs: tuple[str, ...], *, yes: bool, no_wait: bool, timeout: float, server: str | None
) -> int:
    """End runs at once, and the children of parents with them.

    Lists what would be killed and asks. A run is TERMINATED when its agent has confirmed that
    no process of it is left; until then it carries the condition KILLING.
    """
    terminal = Terminal.of_process()
    with Connection.discover(server) as connection:
        run_ids = dict.fromkeys(resolve_run(connection, run) for run in runs)
        targets = [get_run(connection, run_id) for run_id in run_ids]
        if not yes:
            _ask(terminal, targets)
        handles = [RunHandle(run, connection) for run in targets]
        sent, code = _send(terminal, handles)
        return (code if no_wait else _prove(terminal, sent, timeout) or code) or ExitCode.OK


def _ask(terminal: Terminal, targets: Sequence[Run]) -> None:
    """List the targets and ask.

    Raises:
        CommandError: There is nobody to ask, or the answer is not yes.
    """
    children = sum(run.children.total_count - run.children.ended_count for run in targets)
    too = f" and {children} of their children" if children else ""
    question = f"Kill {len(targets)} run{'s' if len(targets) > 1 else ''}{too}? [y/N] "
    terminal.say(*run_table(targets, now(), terminal.err_paint, width=terminal.width))
    if not terminal.can_ask:
        message = "stdin is no terminal, so nobody can be asked; nothing was killed"
        raise CommandError(message, hint="--yes kills without asking", code=ExitCode.USAGE)
    terminal.err.write(question)
    terminal.err.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        message = "nothing was killed"
        raise CommandError(message)


def _send(terminal: Terminal, handles: Sequence[RunHandle]) -> tuple[list[RunHandle], int]:
    """Send the requests; return the runs that took theirs, and the code of the first refusal."""
    sent: list[RunHandle] = []
    code = 0
    for handle in handles:
        try:
            handle.kill(wait=False)
        except TracksideError as error:
            terminal.say(*explanation(error))
            code = code or exit_code_of(error)
        else:
            terminal.say(f"Successfully sent kill request to {handle.run_id}.")
            sent.append(handle)
    return sent, code


def _prove(terminal: Terminal, handles: Sequence[RunHandle], timeout: float) -> int:
    """Wait for the proofs and show them; return the code of the first that did not come."""
    code = 0
    for handle in handles:
        try:
            handle.wait(timeout, until="TERMINATED")
        except TracksideError as error:
            terminal.say(*explanation(error))
            code = code or exit_code_of(error)
        terminal.show(_proof(handle.refresh().run, terminal))
    return code


def _proof(run: Run, terminal: Terminal) -> list[str]:
    kills = [r for r in run.control_requests if r.action == RunAction.RUN_ACTION_KILL]
    steps = f" {control_text(kills[-1])}" if kills else ""
    return [f"{run.run_id} {terminal.paint.apply(state_text(run, terminal.paint))}{steps}"]
