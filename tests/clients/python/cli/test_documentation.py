from pathlib import Path
from typing import Final

import click
import pytest

from trackside.cli.command_table import COMMANDS, INSTALLED_SEPARATELY, LISTINGS
from trackside.cli.exit_codes import MEANINGS, ExitCode
from trackside.cli.main import trackside

_PAGE: Final = (Path(__file__).parents[4] / "docs" / "cli.md").read_text("utf-8")
_EVERYWHERE: Final = {"--output", "--server", "--help"}


def test_every_exit_code_is_documented_with_its_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
    for code, meaning in MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in _PAGE


@pytest.mark.parametrize("name", [*COMMANDS, *INSTALLED_SEPARATELY])
def test_every_command_is_documented(name: str) -> None:
    assert f"| `trackside {name}` |" in _PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    context = click.Context(trackside)
    command = trackside.get_command(context, name)
    assert command is not None
    commands = [command]
    if isinstance(command, click.Group):
        commands = [command.get_command(context, listing) or command for listing in LISTINGS]

    options = {
        word
        for one in commands
        for parameter in one.params
        for word in parameter.opts
        if word.startswith("--")
    }

    assert [word for word in options - _EVERYWHERE if word not in _PAGE] == []
