"""The command `trackside up`; imports the services only when it runs."""

import click


@click.command()
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where to listen. Default: $TRACKSIDE_LISTEN, else 127.0.0.1:8750; port 0: a free one.",
)
def up(listen: str | None) -> int:
    """Start a server on this machine, with an agent beside it.

    Everything is in one process, the data in TRACKSIDE_HOME. Ctrl-C ends both; runs go on, and
    the next `trackside up` finds them again. docs/settings.md lists what can be set.
    """
    from trackside_standalone.up import run  # noqa: PLC0415 - the whole server

    return run(listen)
