"""`trackside plugins`: what is installed here, and what agents offer."""

from importlib.metadata import EntryPoint, entry_points
from typing import Final

import click

from trackside.cli.command_table import ENTRY_POINT_GROUP
from trackside.cli.failures import explanation
from trackside.cli.formats import Document, Format, document_lines, listed
from trackside.cli.options import output_option, server_option
from trackside.cli.paint import Style
from trackside.cli.reach import connect
from trackside.cli.rendering.runners import runner_table
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import table
from trackside.cli.terminal import Terminal
from trackside.client.errors import TracksideError
from trackside.client.listing import list_runners

_GROUPS: Final = {"trackside": "plugin", ENTRY_POINT_GROUP: "command"}
"""The entry-point groups in which distributions offer something, and what it is."""


@click.command()
@output_option
@server_option
def plugins(output: str, server: str | None) -> None:
    """Show the plugins that are installed here, and the runners that agents offer.

    An agent finds the plugins that are installed beside it, which may be elsewhere.
    """
    terminal = Terminal.of_process()
    form = Format(output)
    installed = [entry for group in _GROUPS for entry in sorted(entry_points(group=group))]
    connection = connect(server)
    try:
        with connection:
            runners = list_runners(connection)
    except TracksideError as error:
        terminal.say(*explanation(error))
        runners = ()
    if form is Format.NAME:
        terminal.show(entry.name for entry in installed)
    elif not form.is_for_people:
        documents = [_document(entry) for entry in installed]
        terminal.show(document_lines({"installed": documents, "runners": listed(runners)}, form))
    else:
        rows = [[harmless_cell(str(value)) for value in _document(e).values()] for e in installed]
        lines = table(["NAME", "KIND", "PACKAGE", "VERSION", "PLACE"], rows, terminal.paint)
        heads = [terminal.paint.text(text, Style.STRONG) for text in ("Installed", "Offered")]
        terminal.show([heads[0], *lines])
        if runners:
            offered = runner_table(runners, connection.now(), terminal.paint, wide=form.is_wide)
            terminal.show(["", heads[1], *offered])


def _document(entry: EntryPoint) -> Document:
    return {
        "name": entry.name,
        "kind": _GROUPS[entry.group],
        "package": entry.dist.name if entry.dist else "",
        "version": entry.dist.version if entry.dist else "",
        "place": entry.value,
    }
