"""`trackside get runners`."""

import click

from trackside.cli.formats import Format, document_lines, listed
from trackside.cli.options import output_option, server_option
from trackside.cli.rendering.runners import runner_table
from trackside.cli.terminal import Terminal, now
from trackside.client.connection import Connection
from trackside.client.listing import list_runners


@click.command()
@output_option
@server_option
def runners(output: str, server: str | None) -> None:
    """List the runners that agents offer or have offered."""
    terminal = Terminal.of_process()
    form = Format(output)
    with Connection.discover(server) as connection:
        found = list_runners(connection)
    if form is Format.NAME:
        terminal.show(runner.name for runner in found)
    elif not form.is_for_people:
        terminal.show(document_lines({"runners": listed(found)}, form))
    elif found:
        terminal.show(
            runner_table(found, now(), terminal.paint, wide=form.is_wide, width=terminal.width)
        )
    else:
        terminal.say("No runners. `trackside up` starts an agent that offers `local`.")
