"""A group of our own commands, then of those that other distributions offer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import click
from typing_extensions import override

from trackside.cli.command_table import CommandPlace
from trackside.cli.failures import CommandError
from trackside.cli.lazy_group import LazyGroup

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class Offers:
    """Where further commands are found."""

    entry_point_group: str
    known: Mapping[str, str]
    """Commands that a distribution of ours offers, and which one, to say so where it is missing."""

    def found(self) -> "dict[str, EntryPoint]":
        """Return what is offered. Scans what is installed, so not at start."""
        from importlib.metadata import entry_points  # noqa: PLC0415

        return {entry.name: entry for entry in entry_points(group=self.entry_point_group)}


class OpenGroup(LazyGroup):
    """Knows its own commands by name and summary, and looks for others when it is asked."""

    def __init__(
        self, *, name: str, places: Mapping[str, CommandPlace], help_text: str, offers: Offers
    ) -> None:
        super().__init__(name=name, places=places, help_text=help_text)
        self._offers = offers

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.places, *self._offers.known, *self._offers.found()})

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        offered = self._offers.found().get(cmd_name)
        if offered is not None:
            return cast("click.Command", offered.load())
        if distribution := self._offers.known.get(cmd_name):
            message = f"`{ctx.command_path} {cmd_name}` comes with another package"
            raise CommandError(message, hint=f"pip install {distribution}")
        return None

    @override
    def summaries(self) -> list[tuple[str, str]]:
        offered, known = self._offers.found(), self._offers.known
        missing = known.keys() - offered.keys()
        return [
            *super().summaries(),
            *((name, _summary(entry)) for name, entry in offered.items()),
            *((name, f"(pip install {known[name]})") for name in sorted(missing)),
        ]


def _summary(entry: "EntryPoint") -> str:
    command = cast("click.Command", entry.load())
    return command.get_short_help_str(limit=80)
