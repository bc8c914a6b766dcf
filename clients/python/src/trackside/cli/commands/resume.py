"""`trackside resume`: launches an ended run again, as a new run of the same history."""

import click

from trackside.cli.environment_files import variables_of
from trackside.cli.options import order_options, output_option, run_argument, server_option
from trackside.cli.parameters import AssignmentError, assignments, value_of
from trackside.cli.reach import connect
from trackside.cli.resumption_order import Given, order_to_resume
from trackside.cli.submission import submit
from trackside.client.listing import get_run
from trackside.client.orders import id_of_order
from trackside.client.resolve import resolve_run


@click.command()
@run_argument
@order_options
@click.option(
    "--param", "parameters", multiple=True, metavar="K=V", help="Set anew; may be repeated."
)
@output_option
@server_option
def resume(  # noqa: PLR0913  # one for each option
    run: str,
    *,
    detach: bool,
    environment: tuple[str, ...],
    env_files: tuple[str, ...],
    parameters: tuple[str, ...],
    request_id: str,
    output: str,
    server: str | None,
) -> int:
    """Launch an ended run again, as a new run that is linked to it, and follow it.

    Command, folder, environment, limits, parameters, tags and labels are those that were
    recorded. Secrets were masked there: what is needed again is named, and given by --env,
    --env-file or --param.
    """
    try:
        anew = {**variables_of(env_files), **assignments(environment)}
        values = {key: value_of(text) for key, text in assignments(parameters).items()}
    except AssignmentError as error:
        raise click.UsageError(str(error)) from error
    with connect(server) as connection:
        resumed = get_run(connection, resolve_run(connection, run))
        run_id = id_of_order(connection, request_id)
        wanted = order_to_resume(resumed, run_id, Given(anew, values))
        return submit(connection, wanted, output=output, detach=detach)
