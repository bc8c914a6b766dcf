"""`trackside watch`: a live page on a terminal, one line a change elsewhere."""

import time

import click

from trackside.cli.completion import complete_runs
from trackside.cli.end_of_run import result_code
from trackside.cli.exit_codes import ExitCode
from trackside.cli.follow import follow_changes, follow_list_changes
from trackside.cli.options import server_option
from trackside.cli.reach import connect
from trackside.cli.run_choice import RunChoice, choice_options
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError
from trackside.client.resolve import resolve_run
from trackside.client.states import has_ended, is_final, run_state_word
from trackside_protos.runs.v1.run_pb2 import Run

_STATES = ("initializing", "running", "stopping", "idle", "completed", "failed", "terminated")


@click.command()
@click.argument("run", metavar="[RUN]", required=False, shell_complete=complete_runs)
@choice_options
@click.option("--exit-status", is_flag=True, help="Exit as the run did: 0, 10 failed, 11 ended.")
@click.option("--timeout", type=click.FloatRange(0), help="Stop after so many seconds: exit 7.")
@click.option(
    "--until",
    type=click.Choice(_STATES, case_sensitive=False),
    help="Stop when the run is in this state, or can no longer come to it.",
)
@server_option
def watch(  # one for each option
    run: str | None,
    choice: RunChoice,
    *,
    exit_status: bool,
    timeout: float | None,
    until: str | None,
    server: str | None,
) -> int:
    """Watch a run, or without RUN the list of your runs, live.

    Ctrl-C ends the watching, never the run. Off a terminal each change is one line. The
    options that choose runs are those of `get runs`.
    """
    terminal = Terminal.of_process()
    with connect(server) as connection:
        try:
            if run is None:
                with choice.own_words(connection):
                    _watch_list(connection, choice.filter_for(connection), terminal)
                return ExitCode.OK
            run_id = resolve_run(connection, run)
            enough = Enough(until, timeout)
            ended = _watch_run(connection, run_id, terminal, enough)
        except KeyboardInterrupt:
            terminal.say("", "No longer watching; what runs goes on.")
            return ExitCode.INTERRUPTED
    enough.check(ended)
    return result_code(ended) if exit_status and has_ended(ended) else ExitCode.OK


class Enough:
    """When to stop watching before the run is over."""

    def __init__(self, until: str | None, timeout: float | None) -> None:
        self._until = until.upper() if until else ""
        self._timeout = timeout
        self._started = time.monotonic()
        self.timed_out: bool = False

    def __call__(self, run: Run) -> bool:
        """Return whether to stop."""
        if self._until and (run_state_word(run.state) == self._until):
            return True
        waited = time.monotonic() - self._started
        self.timed_out = self._timeout is not None and waited > self._timeout
        return self.timed_out

    def check(self, run: Run) -> None:
        """Raise `CallTimeoutError` if the time was not enough for what is waited for."""
        is_over = is_final(run) or (has_ended(run) and not self._until)
        if self.timed_out and not is_over:
            message = f"run {run.run_id} is still {run_state_word(run.state)}"
            raise CallTimeoutError(message)


def _watch_run(connection: Connection, run_id: str, terminal: Terminal, enough: Enough) -> Run:
    if not terminal.is_live:
        return follow_changes(connection, run_id, terminal, enough)
    # rich costs as much as all the rest; off a terminal nobody needs it.
    from rich.console import Console  # noqa: PLC0415

    from trackside.cli.live_view import follow_until  # noqa: PLC0415

    return follow_until(run_id, connection, Console(), enough)


def _watch_list(connection: Connection, filter_text: str, terminal: Terminal) -> None:
    if not terminal.is_live:
        follow_list_changes(connection, filter_text, terminal)
        return
    from rich.console import Console  # noqa: PLC0415  # see above

    from trackside.cli.live_view import follow_list  # noqa: PLC0415

    follow_list(filter_text, connection, Console())
