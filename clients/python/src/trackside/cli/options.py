"""Options and arguments that several commands take."""

from collections.abc import Callable, Sequence
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
    what = "The format; json and yaml are proto3-JSON, name is one id a line."
    return _format_option(FORMAT_NAMES, what)(function)


def listing_options(function: FunctionT) -> FunctionT:
    """Add what every list takes: `-o` with all formats, and `--no-pager`."""
    what = "The format; `trackside help formats` explains them."
    return _format_option(LIST_FORMAT_NAMES, what)(pager_option(function))


def _format_option(names: Sequence[str], what: str) -> Callable[[FunctionT], FunctionT]:
    kind = click.Choice(names)
    return click.option("-o", "--output", type=kind, default="table", show_default=True, help=what)


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


def order_options(function: FunctionT) -> FunctionT:
    """Add what every command takes that starts work: its environment, and how it is handed in."""
    for option in (
        click.option(
            "--request-id",
            default="",
            metavar="TEXT",
            help="Names this order: however often it is given, the run is started once.",
        ),
        click.option(
            "--env-file",
            "env_files",
            multiple=True,
            metavar="FILE",
            help="Variables from a file, one K=V a line; --env goes before it. May be repeated.",
        ),
        click.option(
            "--env", "environment", multiple=True, metavar="K=V", help="A variable; repeatable."
        ),
        click.option(
            "-d", "--detach", is_flag=True, help="Do not follow; only say which run it is."
        ),
    ):
        function = option(function)
    return function
