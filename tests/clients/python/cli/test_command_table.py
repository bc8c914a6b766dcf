from collections.abc import Mapping

import click
import pytest

from trackside.cli.command_table import COMMANDS, LISTINGS, TOKEN_COMMANDS, CommandPlace
from trackside.cli.lazy_group import LazyGroup


@pytest.mark.parametrize(
    "places",
    [COMMANDS, LISTINGS, TOKEN_COMMANDS],
    ids=["commands", "listings", "commands of token"],
)
def test_every_command_is_where_the_table_says(places: Mapping[str, CommandPlace]) -> None:
    group = LazyGroup(name="all", places=places, help_text="")
    context = click.Context(group)

    commands = {name: group.get_command(context, name) for name in places}

    assert all(
        isinstance(command, click.Command) and command.name == name
        for name, command in commands.items()
    )
