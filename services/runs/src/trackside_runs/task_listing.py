"""Lists of the tasks of a run, filtered, ordered, in pages; and which tasks a watch tells of."""

from collections.abc import Callable
from typing import Final, Literal, cast

from sqlalchemy import ColumnElement, Connection, and_

from trackside_journal.database import Database
from trackside_protos.runs.v1 import runs_service_pb2, task_pb2
from trackside_runs.filtering.conditions import to_condition
from trackside_runs.filtering.orders import AS_CREATED, TASK_ORDERS, Order
from trackside_runs.filtering.predicates import to_predicate
from trackside_runs.filtering.tasks import TASK_READERS, TASK_SCHEMA
from trackside_runs.listing import order_of, page_size, tree_of
from trackside_runs.page_keys import Key, key_before, token_after
from trackside_runs.present import present_task
from trackside_runs.requests import require_none
from trackside_runs.storage import queries
from trackside_runs.storage.tables import TASK
from trackside_runs.storage.task_pages import page_of_tasks, task_key_shape
from trackside_runs.storage.task_sources import task_sources
from trackside_runs.validation.requests import check_task_states
from trackside_serving.clock import ClockMs

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000

Request = runs_service_pb2.ListTasksRequest
Found = list[tuple[Key, task_pb2.Task]]
"""Tasks, each with the key by which the list goes on after it."""
WantsTask = Callable[[task_pb2.Task], bool]
"""Whether a task matches a filter."""


class TaskLists:
    """Reads lists of tasks from the store."""

    def __init__(self, database: Database, clock_ms: ClockMs) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def page(self, request: Request) -> runs_service_pb2.ListTasksResponse:
        """Return one page.

        Raises:
            InvalidFilterError: The filter cannot be read.
            InvalidFieldError: The order, a state or the page size is none.
            InvalidPageTokenError: The token belongs to another request.
        """
        require_none(check_task_states(request.states))
        order = order_of(request.order_by, TASK_ORDERS, AS_CREATED)
        size = page_size(request.page_size, default=_DEFAULT_PAGE, largest=_LARGEST_PAGE)
        after = key_before(request, task_key_shape(order))
        read = self._reader(request, order, after, size + 1)
        found = await self._database.read(read)
        token = token_after(found[size - 1][0], request) if len(found) > size else ""
        return runs_service_pb2.ListTasksResponse(
            tasks=[present_task(task) for _, task in found[:size]], next_page_token=token
        )

    def wanted(self, text: str) -> WantsTask | None:
        """Return what decides which tasks match a filter; None for one that all match.

        Raises:
            InvalidFilterError: The filter cannot be read.
        """
        if not text.strip():
            return None
        return to_predicate(tree_of(text, TASK_SCHEMA, now_ms=self._clock_ms()), TASK_READERS)

    def _reader(
        self, request: Request, order: Order, after: Key | None, limit: int
    ) -> Callable[[Connection], Found]:
        if not request.filter.strip() and order == AS_CREATED:
            # State by state and process by process there is an index in just this order.
            return lambda connection: _as_created(connection, request, after, limit)
        tree = tree_of(request.filter, TASK_SCHEMA, now_ms=self._clock_ms())

        def read(connection: Connection) -> Found:
            dialect = cast("Literal['sqlite', 'postgresql']", connection.dialect.name)
            condition = to_condition(tree, task_sources(request.run_id), dialect)
            condition = and_(condition, *_chosen(request))
            statement = page_of_tasks(request.run_id, condition, order, after=after, limit=limit)
            return [
                (list(row[:-1]), task_pb2.Task.FromString(row[-1]))
                for row in connection.execute(statement)
            ]

        return read


def _as_created(connection: Connection, request: Request, after: Key | None, limit: int) -> Found:
    found = queries.tasks(
        connection,
        request.run_id,
        states=list(request.states),
        process=request.process,
        after=0 if after is None else int(after[0]),
        limit=limit,
    )
    return [([ordinal], task) for ordinal, task in found]


def _chosen(request: Request) -> list[ColumnElement[bool]]:
    """Return what the request's own fields ask for."""
    conditions: list[ColumnElement[bool]] = []
    if request.states:
        conditions.append(TASK.c.state.in_(sorted(set(request.states))))
    if request.process:
        conditions.append(TASK.c.process == request.process)
    return conditions
