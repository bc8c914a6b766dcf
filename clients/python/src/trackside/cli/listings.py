"""Writes a list in the format that was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from trackside.cli.formats import Format, csv_lines, document_lines, json_line, listed, plain
from trackside.cli.terminal import Terminal

ItemT = TypeVar("ItemT", bound=Message)


@dataclass(frozen=True, slots=True)
class Listing(Generic[ItemT]):
    """A list and how its items are shown."""

    what: str
    """What the items are, in the plural; the name of the list in JSON and YAML."""
    kind: type[ItemT]
    """Their message."""
    items: Sequence[ItemT]
    """What was found."""
    name_of: Callable[[ItemT], str]
    """Returns what names an item on a command line."""
    table: Callable[[Terminal, bool], list[str]]
    """Returns the lines of a table, given the terminal and whether it is wide."""
    when_empty: str
    """What to tell a person when there is nothing."""

    def write(self, output: str, *, no_pager: bool = False) -> None:
        """Write the list to stdout."""
        terminal = Terminal.of_process()
        form = Format(output)
        match form:
            case Format.NAME:
                terminal.show_exactly(self.name_of(item) for item in self.items)
            case Format.CSV:
                terminal.show_exactly(csv_lines(self.items, self.kind))
            case Format.JSONL:
                terminal.show(json_line(plain(item)) for item in self.items)
            case Format.JSON | Format.YAML:
                terminal.show(document_lines({self.what: listed(self.items)}, form))
            case _ if self.items:
                terminal.show_long(self.table(terminal, form.is_wide), paged=not no_pager)
            case _:
                terminal.say(self.when_empty)
