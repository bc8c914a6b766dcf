"""`trackside sync`: delivers what programs could not."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError
from trackside.cli.options import server_option
from trackside.cli.reach import locate
from trackside.cli.safe_text import harmless
from trackside.delivery.leftovers import DeliveryReport, deliver_spools
from trackside.identifiers import is_identifier
from trackside.spool.folder import spools_in


@click.command()
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=click.Path(path_type=Path))
@server_option
def sync(folders: Sequence[Path], server: str | None) -> int:
    """Deliver what programs reported while no server answered.

    Without DIR what is kept in the home and meant for this server. DIR, such as a copy from another
    machine, is a home, its folder `spool`, the folder of a run in that, or one spool: what is in it
    is delivered wherever it was meant to go.

    Needed only where no agent runs and no program reports any more: these do it by themselves.
    Gives up when nothing was taken for ten seconds; what is left stays kept. May be repeated at any
    time, also after it was killed: everything is there once.
    """
    for folder in folders:
        _look_into(folder)
    report = deliver_spools(locate(server), folders)
    if folders:
        for run_id in report.agents:
            click.echo(f"{run_id} is left to its agent, which delivers it itself", err=True)
    for run_id in report.delivered:
        click.echo(f"{run_id} delivered")
    for run_id in report.running:
        click.echo(f"{run_id} delivered so far; its program still reports")
    for line in _complaints(report):
        click.echo(line, err=True)
    if report.remaining and report.failure is not None:
        raise report.failure
    return ExitCode.ERROR if report.remaining or report.unreadable else ExitCode.OK


def _look_into(folder: Path) -> None:
    """Say so if there is nothing in a folder.

    Raises:
        CommandError: There is no such folder, and it cannot have gone with what was delivered.
    """
    if any(spools_in(folder)):
        return
    # What is delivered is removed, and the folder of its run with it.
    was_a_spool = is_identifier(folder.name) or is_identifier(folder.parent.name)
    if not folder.is_dir() and not was_a_spool:
        message = f"there is no folder {folder}"
        raise CommandError(message, hint="DIR is a home, or a spool in it", code=ExitCode.NOT_FOUND)
    click.echo(f"{harmless(str(folder))}: nothing is kept there", err=True)


def _complaints(report: DeliveryReport) -> Iterator[str]:
    for run_id in report.busy:
        yield f"{run_id} is being delivered by another process"
    for run_id in report.elsewhere:
        yield f"{run_id} is meant for another server"
    for run_id in report.remaining:
        yield f"{run_id} is not delivered"
    for folder in report.unreadable:
        yield f"{harmless(folder)} cannot be read, and is kept as it is"
    yield from map(harmless, report.warnings)
