"""`trackside logs`: a run's log, and what is new in it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import wraps
from typing import Any, Final

import click

from trackside.cli.formats import json_line, plain
from trackside.cli.option_types import MOMENT
from trackside.cli.options import run_argument, server_option
from trackside.cli.parameters import context_of
from trackside.cli.quantities import Moment
from trackside.cli.reach import connect
from trackside.cli.rendering.log import LogText, RawLog
from trackside.cli.terminal import Terminal
from trackside.cli.times import timestamp_of
from trackside.client.connection import Connection
from trackside.client.listing import get_run, last_logs, list_logs
from trackside.client.log_lines import LogLine, chosen_levels, lines_of
from trackside.client.resolve import resolve_run
from trackside.client.resolve_task import resolve_task
from trackside.client.watch import BEGINNING, last, watch_logs
from trackside_protos.logs.v1.logs_service_pb2 import LogFilter
from trackside_protos.runs.v1.run_pb2 import Run

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_FILTERS: Final = (
    click.option(
        "--level",
        type=click.Choice(_LEVELS, case_sensitive=False),
        help="This level and those above it; plain output has none.",
    ),
    click.option("--stream", "streams", multiple=True, help="stdout, stderr, engine, log, …"),
    click.option(
        "--task", default="", help="Lines of this task: its id, the beginning of one, or its name."
    ),
    click.option("--context", multiple=True, metavar="K=V", help="With this; may be repeated."),
    click.option(
        "--grep", "text", default="", help="Lines with this text, upper and lower case alike."
    ),
    click.option("--since", type=MOMENT, metavar="TIME", help="Not before: 10m (ago), a time."),
    click.option("--until", type=MOMENT, metavar="TIME", help="Only before: 10m (ago), a time."),
)


@dataclass(frozen=True, slots=True)
class _LineChoice:
    """The lines that somebody wants to see."""

    level: str | None
    streams: tuple[str, ...]
    task: str
    context: tuple[str, ...]
    text: str
    since: Moment | None
    until: Moment | None

    def filter(self, now: datetime, task_id: str) -> LogFilter:
        return LogFilter(
            levels=chosen_levels(self.level or ""),
            streams=self.streams,
            task_id=task_id,
            context=context_of(self.context),
            text=self.text,
            start_time=timestamp_of(self.since, now),
            end_time=timestamp_of(self.until, now),
        )


_NAMES: Final = tuple(each.name for each in fields(_LineChoice))


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose lines; the command gets them as one `choice`."""

    @wraps(function)
    def with_filter(**given: Any) -> Any:  # noqa: ANN401  # whatever the command takes
        choice = _LineChoice(**{name: given.pop(name) for name in _NAMES})
        return function(choice=choice, **given)

    for option in reversed(_FILTERS):
        with_filter = option(with_filter)
    return with_filter


@click.command()
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what is new, until the run ends.")
@click.option("--tail", type=click.IntRange(0), help="Only the latest N lines first.")
@_filter_options
@click.option("-t", "--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--raw", is_flag=True, help="The bytes as they were written; not on a terminal.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="json and jsonl: one object a line.",
)
@server_option
def logs(  # noqa: PLR0913  # one for each option
    run: str,
    *,
    choice: _LineChoice,
    follow: bool,
    tail: int | None,
    timestamps: bool,
    raw: bool,
    output: str,
    server: str | None,
) -> None:
    r"""Show a run's log.

    Control characters and terminal escapes in it are written out, as `\x1b`; with --raw into
    a file or pipe they are not.
    """
    if follow and choice.until is not None:
        message = "what is followed has no end: give --until or --follow, not both"
        raise click.UsageError(message)
    if raw and output != "table":
        message = f"-o {output} has no raw form"
        raise click.UsageError(message)
    with connect(server) as connection:
        run_id = resolve_run(connection, run)
        task_id = resolve_task(connection, run_id, choice.task).task_id if choice.task else ""
        chosen = choice.filter(connection.now(), task_id)
        if follow:
            batches = _followed(connection, run_id, tail, chosen)
        elif tail is not None:
            batches = iter([last_logs(connection, run_id, tail, log_filter=chosen)])
        else:
            batches = _batched(list_logs(connection, run_id, log_filter=chosen))
        terminal = Terminal.of_process()
        if raw and not terminal.out.isatty():
            count = _write_raw(terminal, batches, timestamps=timestamps)
        else:
            count = _write(terminal, batches, as_json=output != "table", timestamps=timestamps)
        if not count and tail != 0:
            terminal.say(_why_none(get_run(connection, run_id), chosen))


def _why_none(run: Run, chosen: LogFilter) -> str:
    if run.is_parent:
        here = f"`trackside get runs --parent {run.run_id}`"
        return f"A parent has no log of its own; {here} lists the children, which have."
    return "No line is like that." if chosen.ByteSize() else "The log is empty."


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


def _write_raw(
    terminal: Terminal, batches: Iterator[Iterable[LogLine]], *, timestamps: bool
) -> int:
    """Write lines as they were written and return how many there were."""
    log = RawLog(timestamps=timestamps)
    count = 0
    for batch in batches:
        texts = [log.bytes(line) for line in batch]
        count += len(texts)
        terminal.out.buffer.writelines(texts)
        terminal.out.buffer.flush()
    return count


def _write(
    terminal: Terminal, batches: Iterator[Iterable[LogLine]], *, as_json: bool, timestamps: bool
) -> int:
    """Write lines and return how many there were."""
    log = LogText(terminal.paint, timestamps=timestamps)
    count = 0
    for batch in batches:
        texts = [_json_line(line) if as_json else log.text(line) for line in batch]
        count += len(texts)
        terminal.out.writelines(texts)
        terminal.out.flush()
    return count


def _json_line(line: LogLine) -> str:
    entry = {"sequence": str(line.sequence), "late": line.late, **plain(line.entry)}
    return json_line(entry) + "\n"
