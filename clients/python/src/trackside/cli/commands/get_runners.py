"""`trackside get runners`."""

import click

from trackside.cli.listings import Listing
from trackside.cli.options import listing_options, server_option
from trackside.cli.reach import connect
from trackside.cli.rendering.runners import runner_table
from trackside.client.listing import list_runners
from trackside_protos.runners.v1.runners_service_pb2 import Runner


@click.command()
@listing_options
@server_option
def runners(*, output: str, no_pager: bool, server: str | None) -> None:
    """List the runners that agents offer or have offered."""
    with connect(server) as connection:
        found = list_runners(connection)
    Listing(
        "runners",
        Runner,
        found,
        name_of=lambda runner: runner.name,
        table=lambda to, wide: runner_table(
            found, connection.now(), to.paint, wide=wide, width=to.width
        ),
        when_empty="No runners. `trackside up` starts an agent that offers `local`.",
    ).write(output, no_pager=no_pager)
