"""`trackside token`: its parts, of which those that need a server's key come with the server."""

from trackside.cli.command_table import (
    KEYED_ENTRY_POINT_GROUP,
    TOKEN_COMMANDS,
    TOKEN_COMMANDS_INSTALLED_SEPARATELY,
)
from trackside.cli.open_group import Offers, OpenGroup

token = OpenGroup(
    name="token",
    places=TOKEN_COMMANDS,
    help_text="Make, explain and revoke tokens.\n\nThey are made with the key of the home on this"
    " machine, and kept nowhere: list shows which are revoked.",
    offers=Offers(KEYED_ENTRY_POINT_GROUP, TOKEN_COMMANDS_INSTALLED_SEPARATELY),
)
