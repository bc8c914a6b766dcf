"""The statement that reads one page of the list of runs, by its last item instead of an offset."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, Text, literal, or_, select, tuple_

from trackside_runs.filtering.orders import Order
from trackside_runs.page_keys import Key
from trackside_runs.storage.tables import RUN, RUN_MESSAGE

_COLUMNS: Final = {
    "create_time": "create_time_ms",
    "start_time": "start_time_ms",
    "end_time": "end_time_ms",
    "name": "name",
    "state": "state",
}


def key_shape(order: Order) -> tuple[type[str] | type[int], ...]:
    """Return the types of the values by which a list of this order is paged."""
    if order.field == "create_time":
        return (int, str)
    return (str if order.field == "name" else int, int, str)


def page_of_runs(
    condition: ColumnElement[bool], order: Order, *, after: Key | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Return the statement for one page.

    Each row is the run's key in this order, then when it was last heard from and its
    message: `*key, heartbeat_ms, message`. Runs that are alike in the field are ordered by
    create time and id, in the same direction.

    Args:
        condition: The filter, and what the caller may see.
        order: The order of the list.
        after: The key of the last run of the page before; None: the first page.
        limit: At most this many; one more than wanted tells whether a page follows.
    """
    names = list(dict.fromkeys([_COLUMNS[order.field], "create_time_ms", "run_id"]))
    keys = [RUN.c[name] for name in names]
    page = select(*keys).where(condition).limit(limit)
    if after is not None:
        last = tuple_(*map(_bound, after))
        page = page.where(tuple_(*keys) < last if order.descending else tuple_(*keys) > last)
    found = page.order_by(*_directed(keys, order)).subquery("page")
    return (
        select(*found.c, RUN.c.heartbeat_ms, RUN_MESSAGE.c.message)
        .join(RUN, RUN.c.run_id == found.c.run_id)
        .join(RUN_MESSAGE, RUN_MESSAGE.c.run_id == found.c.run_id)
        .order_by(*_directed([found.c[name] for name in names], order))
    )


def visible_to(subject: str, projects: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a run is the subject's or belongs to one of the projects."""
    return or_(RUN.c.owner == subject, RUN.c.project.in_(sorted(projects)))


def _directed(columns: list[Any], order: Order) -> list[Any]:
    return [column.desc() if order.descending else column.asc() for column in columns]


def _bound(value: str | int) -> ColumnElement[Any]:
    return literal(value, Text() if isinstance(value, str) else BigInteger())
