"""`trackside sync`: delivers what programs could not."""

from collections.abc import Iterator

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.options import server_option
from trackside.cli.reach import locate
from trackside.cli.safe_text import harmless
from trackside.delivery.leftovers import DeliveryReport, deliver_spools


@click.command()
@server_option
def sync(server: str | None) -> int:
    """Deliver what programs reported while no server answered.

    Needed only where no agent runs and no program reports any more: these do it by themselves.
    Gives up when nothing was taken for ten seconds; what is left stays kept.
    """
    report = deliver_spools(locate(server))
    for run_id in report.delivered:
        click.echo(f"{run_id} delivered")
    for run_id in report.running:
        click.echo(f"{run_id} delivered so far; its program still reports")
    for line in _complaints(report):
        click.echo(line, err=True)
    if report.remaining:
        return ExitCode.UNREACHABLE
    return ExitCode.ERROR if report.unreadable else ExitCode.OK


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
