"""`trackside get runs`."""

import click

from trackside.cli.listings import Listing
from trackside.cli.option_types import MOMENT
from trackside.cli.options import listing_options, server_option
from trackside.cli.reach import connect
from trackside.cli.rendering.runs import run_table
from trackside.cli.run_choice import RunChoice, choice_options
from trackside.cli.terminal import Terminal
from trackside.client.listing import list_runs
from trackside_protos.runs.v1.run_pb2 import Run


@click.command()
@choice_options
@click.option(
    "--since",
    "created_since",
    type=MOMENT,
    metavar="TIME",
    help="Created not before: 2h (ago), a date, RFC 3339; in any state.",
)
@click.option(
    "--until", "created_until", type=MOMENT, metavar="TIME", help="Created before; in any state."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most N.")
@click.option(
    "--sort",
    metavar="FIELD",
    default="",
    help="create_time, start_time, end_time, name, state, last.KEY or best.KEY; `FIELD desc`"
    " turns it round.",
)
@listing_options
@server_option
def runs(  # one for each option
    choice: RunChoice, *, limit: int, sort: str, output: str, no_pager: bool, server: str | None
) -> None:
    """List runs, newest first.

    Without options: your own that are active or ended in the last 24 hours, without the
    children of parents. --all: everyone's, in every state, at any time, children too.
    """
    with connect(server) as connection, choice.own_words(connection):
        found = list(
            list_runs(connection, choice.filter_for(connection), order_by=sort, limit=limit + 1)
        )
    shown = found[:limit]
    Listing(
        "runs",
        Run,
        shown,
        name_of=lambda run: run.run_id,
        table=lambda to, wide: run_table(
            shown, connection.now(), to.paint, wide=wide, width=to.width
        ),
        when_empty="No runs. `--all` shows everyone's, in every state.",
    ).write(output, no_pager=no_pager)
    if len(found) > limit:
        hint = f"There are more than {limit}: --limit N shows more, --filter chooses."
        Terminal.of_process().say(hint)
