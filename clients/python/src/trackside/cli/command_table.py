"""Which commands there are, what each is for, and where its code is; imports none of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ENTRY_POINT_GROUP: Final = "trackside.commands"
"""The entry-point group in which other distributions offer further commands."""

KEYED_ENTRY_POINT_GROUP: Final = "trackside.token_commands"
"""The entry-point group in which another distribution offers more of `trackside token`."""

COMPLETION_VARIABLE: Final = "_TRACKSIDE_COMPLETE"
"""Set in the environment by a shell that asks what could be typed next."""


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """Where a command is, as `module:attribute`, and what it is for."""

    place: str
    summary: str


COMMANDS: Final[Mapping[str, CommandPlace]] = {
    "run": CommandPlace(
        "trackside.cli.commands.run:run", "Start a command as a run and follow it."
    ),
    "get": CommandPlace("trackside.cli.commands.get:get", "List runs, tasks, metrics and so on."),
    "describe": CommandPlace(
        "trackside.cli.commands.describe:describe", "Show everything about a run or a task."
    ),
    "logs": CommandPlace("trackside.cli.commands.logs:logs", "Show a run's log; -f follows it."),
    "watch": CommandPlace("trackside.cli.commands.watch:watch", "Watch a run, or your runs, live."),
    "stop": CommandPlace(
        "trackside.cli.commands.stop:stop", "Let runs clean up and end, with proof."
    ),
    "kill": CommandPlace("trackside.cli.commands.kill:kill", "End runs at once, with proof."),
    "resume": CommandPlace(
        "trackside.cli.commands.resume:resume", "Launch an ended run again, linked to it."
    ),
    "delete": CommandPlace(
        "trackside.cli.commands.delete:delete", "Remove ended runs from history for good."
    ),
    "tag": CommandPlace("trackside.cli.commands.tag:tag", "Add and remove tags of a run."),
    "note": CommandPlace("trackside.cli.commands.note:note", "Show or replace a run's note."),
    "download": CommandPlace(
        "trackside.cli.commands.download:download", "Have what a run has published here."
    ),
    "export": CommandPlace(
        "trackside.cli.commands.export:export", "Write all of a run into files."
    ),
    "sync": CommandPlace(
        "trackside.cli.commands.sync:sync", "Deliver what programs reported without a server."
    ),
    "plugins": CommandPlace(
        "trackside.cli.commands.plugins:plugins", "Show plugins, and what agents offer."
    ),
    "profile": CommandPlace(
        "trackside.cli.commands.profile:profile", "Keep names for servers and choose one."
    ),
    "token": CommandPlace("trackside.cli.commands.token:token", "Make, explain and revoke tokens."),
    "completion": CommandPlace(
        "trackside.cli.commands.completion:completion", "Make shells complete, runs too."
    ),
    "version": CommandPlace("trackside.cli.commands.version:version", "Show the version."),
    "help": CommandPlace("trackside.cli.commands.help:help_", "Explain a command or a topic."),
}

LISTINGS: Final[Mapping[str, CommandPlace]] = {
    "runs": CommandPlace("trackside.cli.commands.get_runs:runs", "List runs."),
    "tasks": CommandPlace("trackside.cli.commands.get_parts:tasks", "List a run's tasks."),
    "processes": CommandPlace(
        "trackside.cli.commands.get_parts:processes", "List a run's tasks, counted by process."
    ),
    "metrics": CommandPlace("trackside.cli.commands.get_parts:metrics", "List a run's series."),
    "outputs": CommandPlace("trackside.cli.commands.get_parts:outputs", "List a run's outputs."),
    "runners": CommandPlace(
        "trackside.cli.commands.get_runners:runners", "List the runners that agents offer."
    ),
}

TOKEN_COMMANDS: Final[Mapping[str, CommandPlace]] = {
    "revoke": CommandPlace(
        "trackside.cli.commands.token_revoke:revoke", "Have tokens refused before they expire."
    ),
    "list": CommandPlace("trackside.cli.commands.token_list:list_", "List what is revoked."),
}

INSTALLED_SEPARATELY: Final[Mapping[str, str]] = {"up": "trackside-standalone"}
"""Commands that another distribution offers, and which one."""

TOKEN_COMMANDS_INSTALLED_SEPARATELY: Final[Mapping[str, str]] = {
    "create": "trackside-standalone",
    "show": "trackside-standalone",
}
"""Those of `trackside token` that need the key of a home, so a server's libraries."""
