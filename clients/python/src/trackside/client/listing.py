"""Reads what a server lists, page by page, as iterators."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from trackside.client.connection import Connection
from trackside.client.log_lines import LogLine, lines_of

if TYPE_CHECKING:
    import grpc
    from google.protobuf.timestamp_pb2 import Timestamp
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsRequest, LogFilter
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesRequest, SeriesFilter
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runners.v1.runners_service_pb2 import ListRunnersRequest, Runner
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    GetRunRequest,
    GetTaskRequest,
    ListChangesRequest,
    ListOutputsRequest,
    ListProcessesRequest,
    ListRevocationsRequest,
    ListRunsRequest,
    ListTasksRequest,
)
from trackside_protos.runs.v1.task_pb2 import Process, Task, TaskState

_PAGE: Final = 1_000
_LOG_PAGE: Final = 10_000


class _PagedRequest(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


Request = TypeVar("Request", bound=_PagedRequest)
Page = TypeVar("Page", bound=_Page)


def get_run(connection: Connection, run_id: str) -> Run:
    """Return one run, complete."""
    return connection.call(connection.runs.GetRun, GetRunRequest(run_id=run_id)).run


def get_task(connection: Connection, run_id: str, task_id: str) -> Task:
    """Return one task, with its script."""
    request = GetTaskRequest(run_id=run_id, task_id=task_id)
    return connection.call(connection.runs.GetTask, request).task


def list_runs(
    connection: Connection, filter_text: str = "", *, order_by: str = "", limit: int | None = None
) -> Iterator[Run]:
    """Yield the runs that match a filter, newest first unless asked otherwise."""
    request = ListRunsRequest(filter=filter_text, order_by=order_by, page_size=_size(_PAGE, limit))
    pages = _pages(connection, connection.runs.ListRuns, request)
    return islice((run for page in pages for run in page.runs), limit)


def list_tasks(  # noqa: PLR0913  # one for each part of the request
    connection: Connection,
    run_id: str,
    *,
    filter_text: str = "",
    states: "Sequence[TaskState.ValueType]" = (),
    process: str = "",
    order_by: str = "",
    limit: int | None = None,
) -> Iterator[Task]:
    """Yield the tasks of a run that match, in order of creation unless asked otherwise.

    They come without their scripts.
    """
    request = ListTasksRequest(
        run_id=run_id,
        filter=filter_text,
        states=states,
        process=process,
        order_by=order_by,
        page_size=_size(_PAGE, limit),
    )
    pages = _pages(connection, connection.runs.ListTasks, request)
    return islice((task for page in pages for task in page.tasks), limit)


def list_processes(connection: Connection, run_id: str, *, order_by: str = "") -> Sequence[Process]:
    """Return the processes of a run."""
    request = ListProcessesRequest(run_id=run_id, order_by=order_by)
    return connection.call(connection.runs.ListProcesses, request).processes


def list_outputs(
    connection: Connection, run_id: str, *, limit: int | None = None
) -> Iterator[Output]:
    """Yield the outputs of a run in order of path."""
    request = ListOutputsRequest(run_id=run_id, page_size=_size(_PAGE, limit))
    pages = _pages(connection, connection.runs.ListOutputs, request)
    return islice((output for page in pages for output in page.outputs), limit)


def list_series(
    connection: Connection,
    run_id: str,
    *,
    series_filter: SeriesFilter | None = None,
    start_time: "Timestamp | None" = None,
    limit: int | None = None,
) -> Iterator[Series]:
    """Yield the series of a run in order of key, with their running figures."""
    request = ListSeriesRequest(
        run_id=run_id,
        filter=series_filter,
        start_time=start_time,
        page_size=_size(_PAGE, limit),
    )
    pages = _pages(connection, connection.metrics.ListSeries, request)
    return islice((series for page in pages for series in page.series), limit)


def list_logs(
    connection: Connection, run_id: str, *, log_filter: LogFilter | None = None
) -> Iterator[LogLine]:
    """Yield the entries of a run's log that are stored now, in order."""
    request = ListLogsRequest(run_id=run_id, filter=log_filter, page_size=_LOG_PAGE)
    pages = _pages(connection, connection.logs.ListLogs, request)
    return (line for page in pages for line in lines_of(page.blocks))


def last_logs(
    connection: Connection, run_id: str, count: int, *, log_filter: LogFilter | None = None
) -> Sequence[LogLine]:
    """Return the latest entries of a run's log, in order; what is before them is not read."""
    pages: list[list[LogLine]] = []
    left, through = count, 0
    while left > 0:
        request = ListLogsRequest(
            run_id=run_id,
            filter=log_filter,
            through_sequence=through,
            last=min(left, _LOG_PAGE),
            page_size=min(left, _LOG_PAGE),
        )
        # Each page holds the entries before those of the page before it.
        found = [
            list(lines_of(page.blocks))
            for page in _pages(connection, connection.logs.ListLogs, request)
        ]
        pages += found
        asked, got = request.last, sum(len(page) for page in found)
        left -= got
        first = next((page[0].sequence for page in reversed(found) if page), 0)
        if got < asked or first <= 1:
            break
        through = first - 1
    return [line for page in reversed(pages) for line in page]


def list_changes(connection: Connection, run_id: str) -> Iterator[RunChange]:
    """Yield the changes of a run that are kept, in order."""
    request = ListChangesRequest(run_id=run_id, page_size=_PAGE)
    while changes := connection.call(connection.runs.ListChanges, request).changes:
        yield from changes
        request.after_sequence = changes[-1].sequence


def list_runners(connection: Connection) -> Sequence[Runner]:
    """Return the runners that agents offer or have offered."""
    return connection.call(connection.runners.ListRunners, ListRunnersRequest()).runners


def list_revocations(connection: Connection) -> Iterator[Revocation]:
    """Yield which tokens are revoked, the latest first."""
    request = ListRevocationsRequest(page_size=_PAGE)
    for page in _pages(connection, connection.runs.ListRevocations, request):
        yield from page.revocations


def _size(largest: int, limit: int | None) -> int:
    return largest if limit is None else max(1, min(limit, largest))


def _pages(
    connection: Connection, method: "grpc.UnaryUnaryMultiCallable[Request, Page]", request: Request
) -> Iterator[Page]:
    """Yield page after page, each asked for only when it is wanted."""
    while True:
        page = connection.call(method, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
