"""What a shell may complete: runs as the server knows them now, and profiles."""

import os
from typing import Final

import click
from click.shell_completion import CompletionItem

from trackside.cli.profiles import profiles_file, read_profiles
from trackside.cli.reach import connect
from trackside.cli.safe_text import harmless_cell

_PATIENCE: Final = 1.0
_PROPOSED: Final = 50


def complete_runs(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return runs whose id or name begins so, newest first; none where no server answers soon."""
    from trackside.client import filters  # noqa: PLC0415  # grpc, only where it is needed
    from trackside.client.errors import TracksideError  # noqa: PLC0415  # see above
    from trackside.client.states import run_state_word  # noqa: PLC0415  # see above
    from trackside_protos.runs.v1.runs_service_pb2 import ListRunsRequest  # noqa: PLC0415  # see above

    server: str | None = context.params.get("server")
    request = ListRunsRequest(filter=filters.beginning(incomplete), page_size=_PROPOSED)
    try:
        with connect(server) as connection:
            runs = connection.call(connection.runs.ListRuns, request, timeout=_PATIENCE).runs
    except (TracksideError, click.ClickException, OSError):
        return []  # a shell has no place for an error
    return [
        CompletionItem(
            run.run_id if run.run_id.startswith(incomplete) else run.name,
            help=f"{harmless_cell(run.name)} {run_state_word(run.state)}",
        )
        for run in runs
        if run.name.isprintable()
    ]


def complete_profiles(
    _context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the profiles whose name begins so."""
    try:
        known = read_profiles(profiles_file(os.environ)).known
    except click.ClickException:
        return []
    return [
        CompletionItem(name, help=known[name].server)
        for name in sorted(known)
        if name.startswith(incomplete)
    ]
