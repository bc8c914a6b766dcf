"""`trackside token list`."""

import click

from trackside.cli.listings import Listing
from trackside.cli.options import listing_options, server_option
from trackside.cli.reach import connect
from trackside.cli.rendering.revocations import revocation_table
from trackside.client.listing import list_revocations
from trackside_protos.runs.v1.revocation_pb2 import Revocation


@click.command(name="list")
@listing_options
@server_option
def list_(*, output: str, no_pager: bool, server: str | None) -> None:
    """List which tokens are revoked, the latest first.

    Admins see all, users those of their own. A revocation is kept until no token is left that
    it could be for; tokens themselves are kept nowhere.
    """
    with connect(server) as connection:
        found = list(list_revocations(connection))
        Listing(
            "revocations",
            Revocation,
            found,
            name_of=lambda revocation: revocation.token_id or revocation.subject,
            table=lambda to, _: revocation_table(found, connection.now(), to.paint, width=to.width),
            when_empty="Nothing is revoked.",
        ).write(output, no_pager=no_pager)
