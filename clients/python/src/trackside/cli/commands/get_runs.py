"""`trackside get runs`."""

from collections.abc import Sequence

import click

from trackside.cli.formats import Format, document_lines, listed
from trackside.cli.options import output_option, server_option
from trackside.cli.rendering.runs import run_table
from trackside.cli.run_choice import RunChoice, choice_options
from trackside.cli.terminal import Terminal, now
from trackside.client.connection import Connection
from trackside.client.listing import list_runs
from trackside_protos.runs.v1.run_pb2 import Run


@click.command()
@choice_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most N.")
@click.option(
    "--sort",
    metavar="FIELD",
    default="",
    help="create_time, start_time, end_time, name or state; `FIELD desc` turns it round.",
)
@output_option
@server_option
def runs(choice: RunChoice, limit: int, sort: str, output: str, server: str | None) -> None:
    """List runs, newest first.

    Without options: your own that are active or ended in the last 24 hours, without the
    children of parents. --all: everyone's, in every state, at any time, children too.
    """
    terminal = Terminal.of_process()
    form = Format(output)
    with Connection.discover(server) as connection:
        found = list(
            list_runs(connection, choice.filter_for(connection), order_by=sort, limit=limit + 1)
        )
    shown = found[:limit]
    terminal.show(_lines(terminal, shown, form))
    if form.is_for_people and not found:
        terminal.say("No runs. `--all` shows everyone's, in every state.")
    if len(found) > limit:
        terminal.say(f"There are more than {limit}: --limit N shows more, --filter chooses.")


def _lines(terminal: Terminal, found: Sequence[Run], form: Format) -> list[str]:
    if form is Format.NAME:
        return [run.run_id for run in found]
    if not form.is_for_people:
        return document_lines({"runs": listed(found)}, form)
    if not found:
        return []
    return run_table(found, now(), terminal.paint, wide=form.is_wide, width=terminal.width)
