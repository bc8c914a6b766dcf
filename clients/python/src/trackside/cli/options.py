"""Options and arguments that several commands take."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from trackside.cli.completion import complete_profiles, complete_runs
from trackside.cli.reach import PROFILE_KEY

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

FORMAT_NAMES = ("table", "wide", "json", "yaml", "name")
"""What `-o` takes; written out here because the formats' own module imports protobuf."""

LIST_FORMAT_NAMES = ("table", "wide", "json", "jsonl", "yaml", "csv", "name")
"""What `-o` takes where there is a list to show."""


def server_option(function: FunctionT) -> FunctionT:
    """Add `--server`, and `--profile`, which `trackside.cli.reach` finds in the context."""
    function = click.option(
        "--profile",
        metavar="NAME",
        expose_value=False,
        callback=_keep_profile,
        help="The server of this name; see `trackside profile`.",
        shell_complete=complete_profiles,
    )(function)
    return click.option(
        "--server",
        metavar="ADDRESS",
        help="The server, HOST:PORT. Default: $TRACKSIDE_SERVER, else the profile in use, else"
        " 127.0.0.1:8750.",
    )(function)


def _keep_profile(context: click.Context, _: click.Parameter, name: str | None) -> None:
    context.find_root().meta[PROFILE_KEY] = name or ""


def output_option(function: FunctionT) -> FunctionT:
    """Add `-o`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMAT_NAMES),
        default="table",
        show_default=True,
        help="The format; json and yaml are proto3-JSON, name is one id a line.",
    )(function)


def listing_options(function: FunctionT) -> FunctionT:
    """Add what every list takes: `-o` with all formats, and `--no-pager`."""
    function = pager_option(function)
    return click.option(
        "-o",
        "--output",
        type=click.Choice(LIST_FORMAT_NAMES),
        default="table",
        show_default=True,
        help="The format; `trackside help formats` explains them.",
    )(function)


def pager_option(function: FunctionT) -> FunctionT:
    """Add `--no-pager`."""
    return click.option(
        "--no-pager",
        is_flag=True,
        help="Write what does not fit on the screen without stopping.",
    )(function)


def run_argument(function: FunctionT) -> FunctionT:
    """Add the argument RUN."""
    return click.argument("run", metavar="RUN", shell_complete=complete_runs)(function)


def asking_options(function: FunctionT) -> FunctionT:
    """Add the arguments RUN... and the options of a command that asks before it acts."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show what would be done."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.argument(
            "runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs
        ),
    ):
        function = option(function)
    return function


def ending_options(function: FunctionT) -> FunctionT:
    """Add what every command that ends runs takes."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(0),
            default=60.0,
            show_default=True,
            help="Wait at most so many seconds for the proof; then exit 7.",
        ),
        click.option("--no-wait", is_flag=True, help="Do not wait until no process is left."),
    ):
        function = option(function)
    return asking_options(function)
