"""`trackside tag`: adds and removes the free words by which a run is found."""

from collections.abc import Iterable

import click

from trackside.cli.options import run_argument, server_option
from trackside.cli.reach import connect
from trackside.cli.safe_text import harmless_cell
from trackside.cli.terminal import Terminal
from trackside.client.listing import get_run
from trackside.client.resolve import resolve_run
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import UpdateRunRequest


@click.command(context_settings={"ignore_unknown_options": True})  # `-old` is a tag to remove
@run_argument
@click.argument("changes", metavar="[+TAG | -TAG]...", nargs=-1, type=click.UNPROCESSED)
@server_option
def tag(run: str, changes: tuple[str, ...], server: str | None) -> None:
    """Add (+) and remove (-) tags of a run, and show what it has then, one a line.

    \b
    trackside tag @latest +keep -draft
    trackside get runs --tag keep

    A word without a sign is added.
    """  # noqa: D301  # click's mark, not a backslash
    with connect(server) as connection:
        run_id = resolve_run(connection, run)
        if changes:
            # The server adds and removes, so that nothing is lost of what others do meanwhile.
            found = connection.call(connection.runs.UpdateRun, _request(run_id, changes)).run
        else:
            found = get_run(connection, run_id)
    Terminal.of_process().show(harmless_cell(word) for word in found.tags)


def _request(run_id: str, changes: Iterable[str]) -> UpdateRunRequest:
    """Ask for the changes, the last one of a word counting.

    Raises:
        UsageError: A change names no word, or is an option that there is not.
    """
    is_wanted: dict[str, bool] = {}
    for change in changes:
        if change.startswith("--"):  # a misspelt option, which would be taken for a tag
            raise click.NoSuchOption(change)
        word = change[1:] if change.startswith(("+", "-")) else change
        if not word:
            message = f"{change!r} names no tag"
            raise click.UsageError(message)
        is_wanted[word] = not change.startswith("-")
    return UpdateRunRequest(
        run=Run(run_id=run_id),
        added_tags=[word for word, wanted in is_wanted.items() if wanted],
        removed_tags=[word for word, wanted in is_wanted.items() if not wanted],
    )
