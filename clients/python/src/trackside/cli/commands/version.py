"""`trackside version`: what is installed, and what answers."""

import json
import sys

import click

from trackside.version import VERSION

_WAL_RESET_MENDED = (3, 51, 3)


@click.command()
@click.option(
    "--server",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Ask the server too; without ADDRESS the one that other commands use.",
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
)
def version(server: str | None, output: str) -> None:
    """Show the version.

    With `-o json` also of Python and SQLite, and whether this SQLite has the WAL-reset bug
    (before 3.51.3). Trackside avoids it: one writer, which alone checkpoints.
    """
    if output == "table":
        click.echo(f"trackside {VERSION}")
        if server is not None:
            click.echo(_server_line(_server(server)))
        return
    facts = _facts()
    if server is not None:
        facts["server"] = _server(server)
    click.echo(json.dumps(facts, indent=2))


def _facts() -> dict[str, object]:
    from sqlite3 import sqlite_version, sqlite_version_info  # noqa: PLC0415  # not needed at start

    return {
        "version": VERSION,
        "python": sys.version.split()[0],
        "sqlite": {
            "version": sqlite_version,
            "walResetBug": sqlite_version_info < _WAL_RESET_MENDED,
        },
    }


def _server(address: str) -> dict[str, object]:
    # grpc alone costs more than all the rest of this command.
    from trackside.cli.formats import plain  # noqa: PLC0415
    from trackside.cli.reach import connect  # noqa: PLC0415

    with connect(address or None) as connection:
        return {"address": connection.location.server, **plain(connection.server)}


def _server_line(server: dict[str, object]) -> str:
    return (
        f"server {server['version']} at {server['address']} ({server['store']}), "
        f"you are {server['subject']} ({server['role']})"
    )
