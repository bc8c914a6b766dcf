"""Lists of runs: what a caller may see of them, filtered, ordered, in pages."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sqlalchemy import ColumnElement, Connection, true

from trackside_journal.database import Database
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_runs.filtering.conditions import to_condition
from trackside_runs.filtering.errors import FilterError, OrderError
from trackside_runs.filtering.grammar import parse_filter
from trackside_runs.filtering.orders import NEWEST_FIRST, RUN_ORDERS, Order, parse_order
from trackside_runs.filtering.predicates import to_predicate
from trackside_runs.filtering.runs import RUN_READERS, RUN_SCHEMA
from trackside_runs.filtering.schema import Schema
from trackside_runs.filtering.tree import Node
from trackside_runs.page_keys import Key, key_before, token_after
from trackside_runs.present import present
from trackside_runs.storage.queries import parsed_run
from trackside_runs.storage.run_pages import key_shape, page_of_runs, visible_to
from trackside_runs.storage.run_sources import RUN_SOURCES
from trackside_serving.clock import ClockMs
from trackside_serving.errors import InvalidFieldError, InvalidFilterError
from trackside_serving.identity import Caller, Role, may_see

_DEFAULT_PAGE: Final = 50
_LARGEST_PAGE: Final = 1000
_WATCH_PAGE: Final = 500
_SEES_EVERYTHING: Final = frozenset({Role.ADMIN, Role.AGENT, Role.SERVICE})


@dataclass(frozen=True, slots=True)
class Membership:
    """Which runs belong to a caller's list."""

    is_visible: Callable[[run_pb2.Run], bool]
    """Whether the caller may know of a run. This never changes in the life of a run."""
    matches: Callable[[run_pb2.Run], bool]
    """Whether the run passes the filter."""


class RunLists:
    """Reads lists of runs from the store."""

    def __init__(self, database: Database, clock_ms: ClockMs) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def page(
        self, request: runs_service_pb2.ListRunsRequest, caller: Caller
    ) -> runs_service_pb2.ListRunsResponse:
        """Return one page.

        Raises:
            InvalidFilterError: The filter cannot be read.
            InvalidFieldError: The order or page size is none.
            InvalidPageTokenError: The token belongs to another request.
        """
        tree = self._parse(request.filter)
        order = order_of(request.order_by, RUN_ORDERS, NEWEST_FIRST)
        size = page_size(request.page_size, default=_DEFAULT_PAGE, largest=_LARGEST_PAGE)
        after = key_before(request, key_shape(order), subject=caller.subject)
        runs, last = await self._read(tree, order, caller, after, size)
        token = "" if last is None else token_after(last, request, subject=caller.subject)
        return runs_service_pb2.ListRunsResponse(runs=runs, next_page_token=token)

    def membership(self, text: str, caller: Caller) -> Membership:
        """Return what decides which runs belong to a caller's list.

        Raises:
            InvalidFilterError: The filter cannot be read.
        """
        return Membership(
            is_visible=lambda run: may_see(
                caller, run_id=run.run_id, owner=run.owner, project=run.project
            ),
            matches=to_predicate(self._parse(text), RUN_READERS),
        )

    async def everything(self, text: str, caller: Caller) -> AsyncIterator[list[run_pb2.Run]]:
        """Yield all runs that match, newest first, in pages."""
        tree = self._parse(text)
        after: Key | None = None
        while True:
            runs, after = await self._read(tree, NEWEST_FIRST, caller, after, _WATCH_PAGE)
            if runs:
                yield runs
            if after is None:
                return

    async def _read(
        self, tree: Node, order: Order, caller: Caller, after: Key | None, size: int
    ) -> tuple[list[run_pb2.Run], Key | None]:
        def read(connection: Connection) -> list[Any]:
            dialect = cast("Literal['sqlite', 'postgresql']", connection.dialect.name)
            condition = to_condition(tree, RUN_SOURCES, dialect) & _visible(caller)
            statement = page_of_runs(condition, order, after=after, limit=size + 1)
            return list(connection.execute(statement))

        found = await self._database.read(read)
        runs = [present(parsed_run(row[-1], row[-2])) for row in found[:size]]
        last = list(found[size - 1][:-2]) if len(found) > size else None
        return runs, last

    def _parse(self, text: str) -> Node:
        return tree_of(text, RUN_SCHEMA, now_ms=self._clock_ms())


def tree_of(text: str, schema: Schema, *, now_ms: int) -> Node:
    """Return the tree of a request's filter.

    Raises:
        InvalidFilterError: It cannot be read.
    """
    try:
        return parse_filter(text, schema, now_ms=now_ms)
    except FilterError as error:
        raise InvalidFilterError(
            f"The filter cannot be read at character {error.position}: {error.message}",
            metadata={"position": str(error.position)},
        ) from error


def order_of(text: str, fields: tuple[str, ...], default: Order) -> Order:
    """Return the order that a request asks for.

    Raises:
        InvalidFieldError: There is no such order.
    """
    try:
        return parse_order(text, fields, default=default)
    except OrderError as error:
        raise InvalidFieldError.of("order_by", str(error)) from error


def page_size(asked: int, *, default: int, largest: int) -> int:
    """Return how many items a page has.

    Raises:
        InvalidFieldError: It is below 0 or above the largest.
    """
    if not 0 <= asked <= largest:
        raise InvalidFieldError.of("page_size", f"not 1 to {largest}")
    return asked or default


def _visible(caller: Caller) -> ColumnElement[bool]:
    if caller.role in _SEES_EVERYTHING:
        return true()
    return visible_to(caller.subject, caller.projects)
