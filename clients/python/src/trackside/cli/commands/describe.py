"""`trackside describe`: everything about a run or one of its tasks."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

import click

from trackside.cli.completion import complete_runs
from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation
from trackside.cli.formats import Document, Format, document_lines, listed, plain
from trackside.cli.options import output_option, pager_option, server_option
from trackside.cli.parameters import in_grid_order
from trackside.cli.reach import connect
from trackside.cli.rendering.pages import RunPage, page_lines
from trackside.cli.rendering.progress import task_total
from trackside.cli.rendering.tasks import task_page
from trackside.cli.terminal import Terminal
from trackside.client import filters, listing
from trackside.client.connection import Connection
from trackside.client.errors import NotFoundError, TracksideError
from trackside.client.queueing import awaited, is_queued
from trackside.client.resolve import is_whole_id, resolve_run
from trackside.client.resolve_task import resolve_task
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.task_pb2 import Task, TaskState

PartT = TypeVar("PartT")

_SHOWN: Final = 50
_SHOWN_SERIES: Final = 12
_LOG_LINES: Final = 10
_OF_THE_MACHINE: Final = "system/"
"""How keys begin that tell of processes and machine, of which each run has a dozen."""
_OPEN: Final = (
    TaskState.TASK_STATE_RUNNING,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_SUBMITTED,
    TaskState.TASK_STATE_PENDING,
)


@click.command()
@click.argument("what", metavar="RUN[/TASK]", shell_complete=complete_runs)
@output_option
@pager_option
@server_option
def describe(what: str, *, output: str, no_pager: bool, server: str | None) -> int:
    """Show everything about a run or one of its tasks.

    A parent shows its children, any other run its nodes: each with its state and how long
    it took, or `<cache hit>`. With -o json, lists are complete.
    """
    form = Format(output)
    terminal = Terminal.of_process()
    with connect(server) as connection:
        run_id, task_text = _resolve(connection, what)
        if task_text:
            task = resolve_task(connection, run_id, task_text)
            lines = _task_lines(terminal, run_id, task, connection.now(), form)
            terminal.show_long(lines, paged=form.is_for_people and not no_pager)
        else:
            page = load_page(connection, run_id, limit=_SHOWN if form.is_for_people else None)
            lines = _page_lines(terminal, page, connection.now(), form)
            terminal.show_long(lines, paged=form.is_for_people and not no_pager)
            for error in page.missing:
                terminal.say(*explanation(error))
            return exit_code_of(page.missing[0]) if page.missing else ExitCode.OK
    return ExitCode.OK


def _resolve(connection: Connection, what: str) -> tuple[str, str]:
    """Return the run, and what names the task in it; the names of both may have slashes."""
    first, _, rest = what.partition("/")
    if not (first.startswith("@") or is_whole_id(first)):
        slashes = [at for at, character in enumerate(what) if character == "/"]
        for end in (len(what), *slashes):
            with suppress(NotFoundError):
                return resolve_run(connection, what[:end]), what[end + 1 :]
    return resolve_run(connection, first), rest


def _page_lines(terminal: Terminal, page: RunPage, now: datetime, form: Format) -> list[str]:
    if form is Format.NAME:
        return [page.run.run_id]
    if not form.is_for_people:
        return document_lines(page_document(page), form)
    return page_lines(page, now, terminal.paint, None if form.is_wide else terminal.width)


def _task_lines(
    terminal: Terminal, run_id: str, task: Task, now: datetime, form: Format
) -> list[str]:
    if form is Format.NAME:
        return [f"{run_id}/{task.task_id}"]
    if not form.is_for_people:
        return document_lines({"task": plain(task)}, form)
    return task_page(run_id, task, now, terminal.paint)


def page_document(page: RunPage) -> Document:
    """Return the page for programs: the messages themselves, under the names of their lists."""
    parent: Document = {} if page.parent is None else {"parent": plain(page.parent)}
    return {
        "run": plain(page.run),
        **parent,
        "children": listed(page.children),
        "tasks": listed(page.tasks),
        "processes": listed(page.processes),
        "series": listed(page.series),
        "outputs": listed(page.outputs),
        "log": [
            {"sequence": str(line.sequence), "late": line.late, **plain(line.entry)}
            for line in page.log
        ],
    }


def load_page(connection: Connection, run_id: str, *, limit: int | None) -> RunPage:
    """Ask for everything about a run; of long lists `limit` entries, or all.

    What the services of metrics and logs cannot give now is left out and named in the page.
    """
    run = listing.get_run(connection, run_id)
    missing: list[TracksideError] = []
    page = RunPage(
        run=run,
        parent=_parent(connection, run),
        series=_or_missing(
            lambda: _series(connection, run_id, only_scores=limit is not None),
            missing,
        ),
        outputs=list(listing.list_outputs(connection, run_id, limit=limit)),
        log=_or_missing(lambda: listing.last_logs(connection, run_id, _LOG_LINES), missing),
        awaited=awaited(run, listing.list_runners(connection)) if is_queued(run) else "",
        missing=missing,
    )
    if run.is_parent:
        return _with_children(connection, page, limit)
    return _with_tasks(connection, page, limit)


def _or_missing(
    ask: Callable[[], Sequence[PartT]], missing: list[TracksideError]
) -> Sequence[PartT]:
    try:
        return ask()
    except TracksideError as error:
        missing.append(error)
        return ()


def _series(connection: Connection, run_id: str, *, only_scores: bool) -> Sequence[Series]:
    """Return a run's series; as scores the first few of what it measures itself."""
    found = listing.list_series(connection, run_id)
    if not only_scores:
        return list(found)
    scores = (series for series in found if not series.key.startswith(_OF_THE_MACHINE))
    return list(islice(scores, _SHOWN_SERIES))


def _parent(connection: Connection, run: Run) -> Run | None:
    if not run.parent_run_id:
        return None
    try:
        return listing.get_run(connection, run.parent_run_id)
    except NotFoundError:  # deleted, or not for this caller to see
        return None


def _with_children(connection: Connection, page: RunPage, limit: int | None) -> RunPage:
    chosen = filters.children_of(page.run.run_id)
    found = listing.list_runs(connection, chosen, order_by="create_time", limit=limit)
    children = in_grid_order(page.run, found)
    hidden = page.run.children.total_count > len(children)
    more = f"trackside get runs --parent {page.run.run_id} --limit 10000"
    return replace(page, children=children, more={"Children": more} if hidden else {})


def _with_tasks(connection: Connection, page: RunPage, limit: int | None) -> RunPage:
    run_id = page.run.run_id
    if limit is None or task_total(page.run.task_counts) <= limit:
        tasks = list(listing.list_tasks(connection, run_id))
        return replace(
            page,
            tasks=tasks,
            processes=[] if limit else listing.list_processes(connection, run_id),
        )
    return replace(
        page,
        tasks=list(listing.list_tasks(connection, run_id, states=_OPEN, limit=limit)),
        processes=listing.list_processes(connection, run_id)[:limit],
        more={"Nodes": f"trackside get tasks {run_id}"},
    )
