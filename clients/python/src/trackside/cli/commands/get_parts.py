"""`trackside get tasks|processes|metrics|outputs`: what one run consists of."""

from collections.abc import Callable, Sequence

import click
from google.protobuf.message import Message

from trackside.cli.formats import Format, document_lines, listed
from trackside.cli.options import output_option, run_argument, server_option
from trackside.cli.rendering.outputs import output_table
from trackside.cli.rendering.series import series_table
from trackside.cli.rendering.tasks import process_table, task_table
from trackside.cli.terminal import Terminal, now
from trackside.client import listing
from trackside.client.connection import Connection
from trackside.client.resolve import resolve_run
from trackside_protos.metrics.v1.metrics_service_pb2 import SeriesFilter
from trackside_protos.runs.v1.task_pb2 import TaskState

_TASK_STATES = ("pending", "submitted", "running", "succeeded", "failed", "aborted", "cached")


def _show(
    what: str,
    parts: Sequence[Message],
    output: str,
    *,
    name_of: Callable[[int], str],
    lines: Callable[[Terminal, bool], list[str]],
) -> None:
    """Write parts of a run in the format that was asked for."""
    terminal = Terminal.of_process()
    form = Format(output)
    if form is Format.NAME:
        terminal.show(name_of(index) for index in range(len(parts)))
    elif not form.is_for_people:
        terminal.show(document_lines({what: listed(parts)}, form))
    elif parts:
        terminal.show(lines(terminal, form.is_wide))
    else:
        terminal.say(f"No {what}.")


@click.command()
@run_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_TASK_STATES, case_sensitive=False),
    help="In this state; may be repeated.",
)
@click.option("--process", default="", help="Of this process, by its full name.")
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True)
@output_option
@server_option
def tasks(  # one for each option
    run: str, states: tuple[str, ...], process: str, limit: int, output: str, server: str | None
) -> None:
    """List a run's tasks in order of creation."""
    with Connection.discover(server) as connection:
        run_id = resolve_run(connection, run)
        chosen = [TaskState.Value(f"TASK_STATE_{state.upper()}") for state in states]
        found = list(
            listing.list_tasks(connection, run_id, states=chosen, process=process, limit=limit)
        )
    _show(
        "tasks",
        found,
        output,
        name_of=lambda index: f"{run_id}/{found[index].task_id}",
        lines=lambda to, wide: task_table(found, now(), to.paint, wide=wide, width=to.width),
    )


@click.command()
@run_argument
@click.option(
    "--sort",
    metavar="FIELD",
    default="",
    help="process, create_time, pending, …, retried or total; `FIELD desc` turns it round.",
)
@output_option
@server_option
def processes(run: str, sort: str, output: str, server: str | None) -> None:
    """List a run's tasks, counted by process."""
    with Connection.discover(server) as connection:
        found = listing.list_processes(connection, resolve_run(connection, run), order_by=sort)
    _show(
        "processes",
        found,
        output,
        name_of=lambda index: found[index].process,
        lines=lambda to, wide: process_table(found, to.paint, wide=wide, width=to.width),
    )


@click.command()
@run_argument
@click.option("--key", "keys", multiple=True, help="This key's series; may be repeated.")
@click.option("--prefix", default="", help="Series whose key begins so.")
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True)
@output_option
@server_option
def metrics(  # one for each option
    run: str, keys: tuple[str, ...], prefix: str, limit: int, output: str, server: str | None
) -> None:
    """List a run's series with their last, best and mean value."""
    chosen = SeriesFilter(keys=keys, key_prefix=prefix)
    with Connection.discover(server) as connection:
        run_id = resolve_run(connection, run)
        found = list(listing.list_series(connection, run_id, series_filter=chosen, limit=limit))
    _show(
        "series",
        found,
        output,
        name_of=lambda index: found[index].key,
        lines=lambda to, wide: series_table(found, to.paint, wide=wide, width=to.width),
    )


@click.command()
@run_argument
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True)
@output_option
@server_option
def outputs(run: str, limit: int, output: str, server: str | None) -> None:
    """List a run's outputs in order of path."""
    with Connection.discover(server) as connection:
        run_id = resolve_run(connection, run)
        found = list(listing.list_outputs(connection, run_id, limit=limit))
    _show(
        "outputs",
        found,
        output,
        name_of=lambda index: found[index].path,
        lines=lambda to, wide: output_table(found, now(), to.paint, wide=wide, width=to.width),
    )
