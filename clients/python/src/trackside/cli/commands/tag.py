"""`trackside tag`: adds and removes the free words by which a run is found."""

from collections.abc import Iterable

import click
from google.protobuf.field_mask_pb2 import FieldMask

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
        found = get_run(connection, resolve_run(connection, run))
        tags = changed(found.tags, changes)
        if tags != set(found.tags):
            request = UpdateRunRequest(
                run=Run(run_id=found.run_id, tags=sorted(tags)),
                update_mask=FieldMask(paths=["tags"]),
            )
            found = connection.call(connection.runs.UpdateRun, request).run
    Terminal.of_process().show(harmless_cell(word) for word in found.tags)


def changed(tags: Iterable[str], changes: Iterable[str]) -> set[str]:
    """Return tags after changes, the last one of a word counting.

    Raises:
        UsageError: A change names no word.
    """
    result = set(tags)
    for change in changes:
        word = change.removeprefix("-") if change.startswith("-") else change.removeprefix("+")
        if not word:
            message = f"{change!r} names no tag"
            raise click.UsageError(message)
        if change.startswith("-"):
            result.discard(word)
        else:
            result.add(word)
    return result
