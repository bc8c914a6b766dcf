"""The command `trackside token`: its parts, each imported only when it is used."""

from typing import Final

from trackside.cli.command_table import CommandPlace
from trackside.cli.lazy_group import LazyGroup

_PLACES: Final = {
    "create": CommandPlace("trackside_standalone.token_making:create", "Make a token."),
    "show": CommandPlace(
        "trackside_standalone.token_making:show", "Say whose token is used, never the token."
    ),
    "revoke": CommandPlace(
        "trackside_standalone.token_revoking:revoke", "Have tokens refused before they expire."
    ),
    "list": CommandPlace("trackside_standalone.token_revoking:list_", "List what is revoked."),
}

token = LazyGroup(
    name="token",
    places=_PLACES,
    help_text="Make, explain and revoke tokens.\n\n"
    "They are made with the key of the home on this machine, and kept nowhere: list shows which"
    " are revoked.",
)
