"""`trackside logs`: a run's log, and what is new in it."""

import json
from collections.abc import Iterable, Iterator

import click

from trackside.cli.formats import plain
from trackside.cli.options import run_argument, server_option
from trackside.cli.rendering.log import LogText
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.listing import last_logs, list_logs
from trackside.client.log_lines import LogLine, chosen_levels, lines_of
from trackside.client.resolve import resolve_run
from trackside.client.watch import BEGINNING, last, watch_logs
from trackside_protos.logs.v1.logs_service_pb2 import LogFilter

_LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command()
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what is new, until the run ends.")
@click.option("--tail", type=click.IntRange(0, 10_000), help="Only the latest N lines first.")
@click.option(
    "--level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    help="This level and those above it; plain output has none.",
)
@click.option("--stream", "streams", multiple=True, help="stdout, stderr, engine, log, …")
@click.option("--task", default="", help="Lines of this task.")
@click.option(
    "--grep", "text", default="", help="Lines with this text, upper and lower case alike."
)
@click.option("-t", "--timestamps", is_flag=True, help="Put the time before each line.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json: one object a line.",
)
@server_option
def logs(  # noqa: PLR0913  # one for each option
    run: str,
    *,
    follow: bool,
    tail: int | None,
    level: str | None,
    streams: tuple[str, ...],
    task: str,
    text: str,
    timestamps: bool,
    output: str,
    server: str | None,
) -> None:
    r"""Show a run's log.

    Control characters and terminal escapes in it are written out, as `\x1b`.
    """
    chosen = LogFilter(levels=chosen_levels(level or ""), streams=streams, task_id=task, text=text)
    with Connection.discover(server) as connection:
        run_id = resolve_run(connection, run)
        if follow:
            batches = _followed(connection, run_id, tail, chosen)
        elif tail is not None:
            batches = iter([last_logs(connection, run_id, tail, log_filter=chosen)])
        else:
            batches = _batched(list_logs(connection, run_id, log_filter=chosen))
        _write(batches, as_json=output == "json", timestamps=timestamps)


def _followed(
    connection: Connection, run_id: str, tail: int | None, chosen: LogFilter
) -> Iterator[Iterable[LogLine]]:
    start = BEGINNING if tail is None else last(tail)
    with watch_logs(connection, run_id, start, log_filter=chosen) as responses:
        for response in responses:
            yield lines_of(response.blocks)


def _batched(lines: Iterator[LogLine], size: int = 1_000) -> Iterator[Iterable[LogLine]]:
    batch: list[LogLine] = []
    for line in lines:
        batch.append(line)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


def _write(batches: Iterator[Iterable[LogLine]], *, as_json: bool, timestamps: bool) -> None:
    terminal = Terminal.of_process()
    renderer = LogText(terminal.paint, timestamps=timestamps)
    for batch in batches:
        terminal.out.writelines(
            _json_line(line) if as_json else renderer.text(line) for line in batch
        )
        terminal.out.flush()


def _json_line(line: LogLine) -> str:
    entry = {"sequence": str(line.sequence), "late": line.late, **plain(line.entry)}
    return json.dumps(entry, ensure_ascii=False) + "\n"
