"""Which server a command talks to: as options, environment and profiles say, in this order."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from trackside.cli.profiles import profiles_file, read_profiles
from trackside.location import Location, discover

if TYPE_CHECKING:
    from trackside.client.connection import Connection

PROFILE_KEY: Final = "trackside.profile"
"""Where the context of a command line keeps what `--profile` said."""


def connect(server: str | None) -> "Connection":
    """Return a connection to the server of this command line; opens nothing yet.

    Raises:
        CommandError: The profile that was named does not exist, or profiles cannot be read.
    """
    from trackside.client.connection import Connection  # noqa: PLC0415  # grpc, not always needed

    return Connection(locate(server))


def locate(server: str | None) -> Location:
    """Return where the server is, and the token for it.

    `--server` goes before `--profile`, that before `TRACKSIDE_SERVER`, that before
    `TRACKSIDE_PROFILE` and the profile in use.

    Raises:
        CommandError: The profile that was named does not exist, or profiles cannot be read.
    """
    context = click.get_current_context(silent=True)
    said: str = context.find_root().meta.get(PROFILE_KEY, "") if context else ""
    return located(discover(), server or "", said, os.environ)


def located(found: Location, server: str, said: str, environment: Mapping[str, str]) -> Location:
    """Return the location, given what the environment and home alone say."""
    if server:
        return Location(server, found.token, found.home)
    if not said and environment.get("TRACKSIDE_SERVER"):
        return found
    profiles = read_profiles(profiles_file(environment))
    name = said or environment.get("TRACKSIDE_PROFILE", "") or profiles.current
    if not name:
        return found
    profile = profiles.named(name)
    return Location(profile.server, profile.token or found.token, found.home)
