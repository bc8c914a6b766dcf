"""What commands that end or remove runs are told: which ones, and whether to ask and to wait."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from trackside.cli.completion import complete_runs
from trackside.cli.targets import Deed, ask, find_targets, show_plan
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside_protos.runs.v1.run_pb2 import Run


@dataclass(frozen=True, slots=True)
class Asking:
    """The runs that somebody named, and what is to happen before anything does."""

    runs: Sequence[str]
    yes: bool
    dry_run: bool

    def targets(self, connection: Connection, terminal: Terminal, deed: Deed) -> list[Run]:
        """Return the runs on which the deed is agreed.

        Raises:
            Exit: Only the plan was wanted; it was shown.
            CommandError: There is nobody to ask, or the answer is not yes.
            TracksideError: A run does not exist or is not the only one of its name.
        """
        found = find_targets(connection, self.runs)
        if self.dry_run:
            raise click.exceptions.Exit(show_plan(terminal, deed, found, connection.now()))
        if not self.yes:
            ask(terminal, deed, found, connection.now())
        return found


def asking_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add RUN... and the options of a command that asks; it gets them as one `asking`."""

    @click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs)
    @click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    @click.option("--dry-run", is_flag=True, help="Only show what would be done.")
    @wraps(function)
    def with_asking(*, runs: Sequence[str], yes: bool, dry_run: bool, **given: Any) -> Any:  # noqa: ANN401  # whatever the command takes
        return function(asking=Asking(runs, yes, dry_run), **given)

    return with_asking


def waiting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add how long to wait for the proof; the command gets it as `patience`, `None`: not at all."""

    @click.option("--no-wait", is_flag=True, help="Do not wait for the proof.")
    @click.option(
        "--timeout",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="Wait at most so many seconds for the proof; then exit 7.",
    )
    @wraps(function)
    def with_patience(*, no_wait: bool, timeout: float, **given: Any) -> Any:  # noqa: ANN401  # see above
        return function(patience=None if no_wait else timeout, **given)

    return with_patience
