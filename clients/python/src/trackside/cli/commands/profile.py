"""`trackside profile`: named servers, and which one is used."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from trackside.cli.completion import complete_profiles
from trackside.cli.formats import Document, Format, document_lines
from trackside.cli.options import output_option
from trackside.cli.profiles import (
    Profile,
    Profiles,
    profiles_file,
    read_profiles,
    write_profiles,
)
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import table
from trackside.cli.targets import STDIN
from trackside.cli.terminal import Terminal


@click.group()
def profile() -> None:
    """Keep names for servers, and choose which one is used.

    \b
    trackside profile add work --server pit.example.org:8750 --token-file token
    trackside profile use work
    trackside get runs --profile work

    Kept in the config folder ($TRACKSIDE_CONFIG), readable by you only. --server,
    --profile and $TRACKSIDE_SERVER go before the profile in use.
    """  # noqa: D301  # click's mark, not a backslash


def _change(change: Callable[[Profiles], Profiles]) -> None:
    file = profiles_file(os.environ)
    write_profiles(file, change(read_profiles(file)))


@profile.command(name="list")
@output_option
def list_(output: str) -> None:
    """List the profiles; `*` marks the one in use."""
    terminal = Terminal.of_process()
    form = Format(output)
    profiles = read_profiles(profiles_file(os.environ))
    if form is Format.NAME:
        terminal.show(map(harmless_cell, sorted(profiles.known)))
        return
    if not form.is_for_people:
        terminal.show(document_lines({"profiles": _documents(profiles)}, form))
        return
    if not profiles.known:
        terminal.say("No profiles. `trackside profile add NAME --server HOST:PORT` makes one.")
        return
    rows = [
        [
            "*" if name == profiles.current else "",
            harmless_cell(name),
            harmless_cell(each.server),
            "own" if each.token else "of the home",
        ]
        for name, each in sorted(profiles.known.items())
    ]
    terminal.show(table(["USED", "PROFILE", "SERVER", "TOKEN"], rows, terminal.paint))


def _documents(profiles: Profiles) -> list[Document]:
    return [
        {
            "name": name,
            "server": each.server,
            "hasToken": bool(each.token),
            "used": name == profiles.current,
        }
        for name, each in sorted(profiles.known.items())
    ]


@profile.command()
@click.argument("name")
@click.option("--server", required=True, metavar="ADDRESS", help="Its address, HOST:PORT.")
@click.option("--token-file", metavar="FILE", help="Where its token is; `-`: stdin. It is copied.")
def add(name: str, *, server: str, token_file: str | None) -> None:
    """Add a profile, or replace the one of that name."""
    token = "" if token_file is None else _token(token_file)
    _change(lambda profiles: profiles.with_profile(name, Profile(server, token)))


def _token(file: str) -> str:
    text = sys.stdin.read() if file == STDIN else Path(file).read_text("utf-8", "replace")
    token = text.strip()
    if not token or not token.isascii() or token.split() != [token]:
        message = "there is no token in it"
        raise click.UsageError(message)
    return token


@profile.command()
@click.argument("name", required=False, shell_complete=complete_profiles)
def use(name: str | None) -> None:
    """Use a profile from now on; without NAME none."""
    _change(lambda profiles: profiles.using(name or ""))


@profile.command()
@click.argument("name", shell_complete=complete_profiles)
def remove(name: str) -> None:
    """Remove a profile."""
    _change(lambda profiles: profiles.without(name))
