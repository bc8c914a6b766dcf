"""The statement that reads one page of the list of runs, by its last item instead of an offset."""

import math
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Label,
    Select,
    Text,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from trackside_runs.filtering.orders import KEYED_ORDERS, Order
from trackside_runs.page_keys import Key, KeyType
from trackside_runs.storage.tables import RUN, RUN_FIGURE, RUN_MESSAGE

_COLUMNS: Final = {
    "create_time": "create_time_ms",
    "start_time": "start_time_ms",
    "end_time": "end_time_ms",
    "name": "name",
    "state": "state",
}


def key_shape(order: Order) -> tuple[KeyType, ...]:
    """Return the types of the values by which a list of this order is paged."""
    if order.field == "create_time":
        return (int, str)
    if order.field in KEYED_ORDERS:
        return (float, int, str)
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
    if order.field in KEYED_ORDERS:
        keys = [_figure_of(order), RUN.c.create_time_ms, RUN.c.run_id]
    else:
        names = dict.fromkeys([_COLUMNS[order.field], "create_time_ms", "run_id"])
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
        .order_by(*_directed(list(found.c), order))
    )


def visible_to(subject: str, projects: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a run is the subject's or belongs to one of the projects."""
    return or_(RUN.c.owner == subject, RUN.c.project.in_(sorted(projects)))


def _figure_of(order: Order) -> Label[float]:
    """Return what a run is ordered by: its most extreme value; what comes last, without any."""
    column = RUN_FIGURE.c[order.field]
    extreme = func.max(column) if order.descending else func.min(column)
    found = (
        select(extreme)
        .where(RUN_FIGURE.c.key == order.key, RUN_FIGURE.c.run_id == RUN.c.run_id)
        .correlate(RUN)
        .scalar_subquery()
    )
    absent = _bound(-math.inf if order.descending else math.inf)
    return func.coalesce(found, absent).label("figure")


def _directed(columns: list[Any], order: Order) -> list[Any]:
    return [column.desc() if order.descending else column.asc() for column in columns]


def _bound(value: str | float) -> ColumnElement[Any]:
    if isinstance(value, float):
        return literal(value, Double())
    return literal(value, Text() if isinstance(value, str) else BigInteger())
