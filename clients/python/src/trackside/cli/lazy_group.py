"""A group of commands, each imported only when it is used."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from trackside.cli.command_table import CommandPlace


class LazyGroup(click.Group):
    """A group that knows its commands by name and summary until one is used."""

    def __init__(self, *, name: str, places: Mapping[str, CommandPlace], help_text: str) -> None:
        super().__init__(name=name, help=help_text)
        self.places = places

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.places)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.place.partition(":")
        return cast("click.Command", getattr(import_module(module), attribute))

    def summaries(self) -> list[tuple[str, str]]:
        """Return names and summaries as the help shows them."""
        return [(name, place.summary) for name, place in self.places.items()]

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries())

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Not click's own, which would import every command to ask it for its help.
        summaries = dict(self.summaries())
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=summaries[name])
            for name in sorted(summaries)
            if name.startswith(incomplete)
        ]

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            # Not at the top: a mistyped command may cost a few milliseconds, a right one not.
            from difflib import get_close_matches  # noqa: PLC0415

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            if not near:
                raise
            message = f"{error.message} Did you mean {near[0]!r}?"
            raise click.UsageError(message, ctx) from error
