"""`trackside export`: writes all that is known of a run into files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from google.protobuf.message import Message

from trackside.cli.archive import Archive, archive_at
from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError
from trackside.cli.formats import Format, document_lines, json_line, plain
from trackside.cli.options import run_argument, server_option
from trackside.cli.paint import Paint
from trackside.cli.reach import connect
from trackside.cli.rendering.log import LogText
from trackside.cli.terminal import Terminal
from trackside.client import filters, listing
from trackside.client.connection import Connection
from trackside.client.log_lines import LogLine
from trackside.client.resolve import resolve_run
from trackside.client.watch import BEGINNING, watch_metrics
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.runs.v1.run_pb2 import Run


@click.command()
@run_argument
@click.option(
    "-o",
    "--output",
    "target",
    metavar="DIR | FILE.zip",
    help="Where to write; must not exist. Default: the folder trackside-RUN here.",
)
@server_option
def export(run: str, *, target: str | None, server: str | None) -> None:
    """Write all that is known of a run into a folder or a ZIP file.

    run.json, changes.jsonl, log.txt, log.jsonl, metrics.csv and, where there are some,
    tasks.jsonl, children.jsonl and outputs.jsonl. What a run at work reports meanwhile may be
    in it or not. The outputs themselves stay where they are.
    """
    terminal = Terminal.of_process()
    with connect(server) as connection:
        found = listing.get_run(connection, resolve_run(connection, run))
        path = Path(target or f"trackside-{found.run_id}")
        try:
            with archive_at(path) as archive:
                counts = _write(archive, connection, found)
        except FileExistsError as error:
            hint = "-o names another place"
            raise CommandError(str(error), hint=hint, code=ExitCode.CONFLICT) from error
        except OSError as error:
            message = f"cannot write {path}: {error.strerror or error}"
            raise CommandError(message, hint="-o names another place") from error
    told = ", ".join(f"{what} {count}" for what, count in counts.items() if count)
    terminal.say(f"Exported {found.run_id}: {told or 'the run alone'}.")
    terminal.show([str(path)])


def _write(archive: Archive, connection: Connection, run: Run) -> dict[str, int]:
    """Write every file, each from the service page by page; return how much there was of what."""
    run_id = run.run_id
    archive.write("run.json", (f"{line}\n" for line in document_lines(plain(run), Format.JSON)))
    counts = {
        "changes": archive.write(
            "changes.jsonl", _json_lines(listing.list_changes(connection, run_id))
        ),
        "log lines": archive.write(
            "log.jsonl", map(_log_json, listing.list_logs(connection, run_id))
        ),
        "points": archive.write("metrics.csv", _point_rows(connection, run_id)) - 1,
    }
    text = LogText(Paint(), timestamps=True)
    archive.write("log.txt", map(text.text, listing.list_logs(connection, run_id)))
    if run.is_parent:
        children = listing.list_runs(
            connection, filters.children_of(run_id), order_by="create_time"
        )
        counts["children"] = archive.write("children.jsonl", _json_lines(children))
    else:
        tasks = listing.list_tasks(connection, run_id)
        counts["tasks"] = archive.write("tasks.jsonl", _json_lines(tasks))
    outputs = listing.list_outputs(connection, run_id)
    counts["outputs"] = archive.write("outputs.jsonl", _json_lines(outputs))
    return counts


def _json_lines(messages: Iterable[Message]) -> Iterator[str]:
    return (json_line(plain(message)) + "\n" for message in messages)


def _log_json(line: LogLine) -> str:
    entry = {"sequence": str(line.sequence), "late": line.late, **plain(line.entry)}
    return json_line(entry) + "\n"


def _point_rows(connection: Connection, run_id: str) -> Iterator[str]:
    """Yield the points as CSV, in the order in which they were stored, a block at a time."""
    yield "key,context,step,time_millis,value,late\n"
    with watch_metrics(connection, run_id, BEGINNING) as responses:
        for response in responses:
            for block in response.blocks:
                yield from _rows(block)
            if response.caught_up:
                return


def _rows(block: PointBlock) -> Iterator[str]:
    context = json_line(dict(sorted(block.context.items()))) if block.context else ""
    names = f"{_cell(block.key)},{_cell(context)}"
    late = "true" if block.late else "false"
    points = zip(block.steps, block.times_millis, block.values, strict=True)
    return (f"{names},{step},{time},{value!r},{late}\n" for step, time, value in points)


def _cell(text: str) -> str:
    """Return a text as CSV has it: in quotes where it could be mistaken."""
    return '"{}"'.format(text.replace('"', '""')) if set(text) & set(',"\r\n') else text
