"""`trackside get tasks|processes|metrics|outputs`: what one run consists of."""

import click

from trackside.cli.listings import Listing
from trackside.cli.option_types import MOMENT
from trackside.cli.options import listing_options, run_argument, server_option
from trackside.cli.parameters import context_of
from trackside.cli.quantities import Moment
from trackside.cli.reach import connect
from trackside.cli.rendering.outputs import output_table
from trackside.cli.rendering.series import series_table
from trackside.cli.rendering.tasks import process_table, task_table
from trackside.cli.times import timestamp_of
from trackside.client import filters, listing
from trackside.client.resolve import resolve_run
from trackside_protos.metrics.v1.metrics_service_pb2 import SeriesFilter
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.task_pb2 import Process, Task, TaskState

_TASK_STATES = ("pending", "submitted", "running", "succeeded", "failed", "aborted", "cached")


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
@click.option("--search", default="", metavar="WORDS", help="With these words, anywhere.")
@click.option("--filter", "filter_text", default="", help="See `trackside help filter`.")
@click.option(
    "--sort",
    metavar="FIELD",
    default="",
    help="create_time, start_time, end_time, duration, name, process, state or attempts;"
    " `FIELD desc` turns it round. Default: in order of creation.",
)
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True)
@listing_options
@server_option
def tasks(  # noqa: PLR0913  # one for each option
    run: str,
    *,
    states: tuple[str, ...],
    process: str,
    search: str,
    filter_text: str,
    sort: str,
    limit: int,
    output: str,
    no_pager: bool,
    server: str | None,
) -> None:
    """List a run's tasks."""
    with connect(server) as connection:
        run_id = resolve_run(connection, run)
        chosen = [TaskState.Value(f"TASK_STATE_{state.upper()}") for state in states]
        # The filter as it was typed comes first: errors name a place in it.
        wanted = filters.all_of([filter_text, filters.with_words(search)])
        found = listing.list_tasks(
            connection,
            run_id,
            filter_text=wanted,
            states=chosen,
            process=process,
            order_by=sort,
            limit=limit,
        )
        shown = list(found)
    Listing(
        "tasks",
        Task,
        shown,
        name_of=lambda task: f"{run_id}/{task.task_id}",
        table=lambda to, wide: task_table(
            shown, connection.now(), to.paint, wide=wide, width=to.width
        ),
        when_empty="No tasks.",
    ).write(output, no_pager=no_pager)


@click.command()
@run_argument
@click.option(
    "--sort",
    metavar="FIELD",
    default="",
    help="process, create_time, pending, …, retried or total; `FIELD desc` turns it round.",
)
@listing_options
@server_option
def processes(run: str, *, sort: str, output: str, no_pager: bool, server: str | None) -> None:
    """List a run's tasks, counted by process."""
    with connect(server) as connection:
        found = listing.list_processes(connection, resolve_run(connection, run), order_by=sort)
    Listing(
        "processes",
        Process,
        found,
        name_of=lambda process: process.process,
        table=lambda to, wide: process_table(found, to.paint, wide=wide, width=to.width),
        when_empty="No processes.",
    ).write(output, no_pager=no_pager)


@click.command()
@run_argument
@click.option("--key", "keys", multiple=True, help="This key's series; may be repeated.")
@click.option("--prefix", default="", help="Series whose key begins so.")
@click.option("--context", multiple=True, metavar="K=V", help="With this; may be repeated.")
@click.option(
    "--search", default="", metavar="TEXT", help="With this text in key or context, of any case."
)
@click.option(
    "--since", type=MOMENT, metavar="TIME", help="With a point not before: 10m (ago), a time."
)
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True)
@listing_options
@server_option
def metrics(  # noqa: PLR0913  # one for each option
    run: str,
    *,
    keys: tuple[str, ...],
    prefix: str,
    context: tuple[str, ...],
    search: str,
    since: Moment | None,
    limit: int,
    output: str,
    no_pager: bool,
    server: str | None,
) -> None:
    """List a run's series with their last, best and mean value."""
    chosen = SeriesFilter(keys=keys, key_prefix=prefix, context=context_of(context), text=search)
    with connect(server) as connection:
        run_id = resolve_run(connection, run)
        found = list(
            listing.list_series(
                connection,
                run_id,
                series_filter=chosen,
                start_time=timestamp_of(since, connection.now()),
                limit=limit,
            )
        )
    Listing(
        "series",
        Series,
        found,
        name_of=lambda series: series.key,
        table=lambda to, wide: series_table(found, to.paint, wide=wide, width=to.width),
        when_empty="No series.",
    ).write(output, no_pager=no_pager)


@click.command()
@run_argument
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True)
@listing_options
@server_option
def outputs(run: str, *, limit: int, output: str, no_pager: bool, server: str | None) -> None:
    """List a run's outputs in order of path."""
    with connect(server) as connection:
        run_id = resolve_run(connection, run)
        found = list(listing.list_outputs(connection, run_id, limit=limit))
    Listing(
        "outputs",
        Output,
        found,
        name_of=lambda published: published.path,
        table=lambda to, wide: output_table(
            found, connection.now(), to.paint, wide=wide, width=to.width
        ),
        when_empty="No outputs.",
    ).write(output, no_pager=no_pager)
