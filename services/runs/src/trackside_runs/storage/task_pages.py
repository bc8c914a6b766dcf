"""The statement that reads one page of a run's tasks, by its last task instead of an offset."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, Text, literal, select, tuple_

from trackside_runs.filtering.orders import Order
from trackside_runs.page_keys import Key, KeyType
from trackside_runs.storage.tables import TASK

_COLUMNS: Final = {
    "create_time": "ordinal",
    "start_time": "start_time_ms",
    "end_time": "end_time_ms",
    "duration": "duration_ms",
    "name": "name",
    "process": "process",
    "state": "state",
    "attempts": "attempts",
}
_TEXTS: Final = frozenset({"name", "process"})


def task_key_shape(order: Order) -> tuple[KeyType, ...]:
    """Return the types of the values by which a list of this order is paged."""
    if order.field == "create_time":
        return (int,)
    return (str if order.field in _TEXTS else int, int)


def page_of_tasks(
    run_id: str,
    condition: ColumnElement[bool],
    order: Order,
    *,
    after: Key | None,
    limit: int,
) -> Select[*tuple[Any, ...]]:
    """Return the statement for one page: `*key, message` of each task.

    Tasks that are alike in the field are in the order of their creation, in the same direction.

    Args:
        run_id: Whose tasks.
        condition: Which of them.
        order: The order of the list.
        after: The key of the last task of the page before; None: the first page.
        limit: At most this many; one more than wanted tells whether a page follows.
    """
    names = list(dict.fromkeys([_COLUMNS[order.field], "ordinal"]))
    keys = [TASK.c[name] for name in names]
    page = select(*keys).where(TASK.c.run_id == run_id, condition).limit(limit)
    if after is not None:
        page = page.where(_beyond(keys, after, is_descending=order.descending))
    # The messages of the page alone: to sort them with all others would carry them along.
    found = page.order_by(*_directed(keys, order)).subquery("page")
    return (
        select(*found.c, TASK.c.message)
        .join(TASK, (TASK.c.run_id == run_id) & (TASK.c.ordinal == found.c.ordinal))
        .order_by(*_directed([found.c[name] for name in names], order))
    )


def _beyond(
    keys: Sequence[ColumnElement[Any]], after: Key, *, is_descending: bool
) -> ColumnElement[bool]:
    last = tuple_(*map(_bound, after))
    return tuple_(*keys) < last if is_descending else tuple_(*keys) > last


def _directed(columns: Sequence[Any], order: Order) -> list[Any]:
    return [column.desc() if order.descending else column.asc() for column in columns]


def _bound(value: str | float) -> ColumnElement[Any]:
    return literal(value, Text() if isinstance(value, str) else BigInteger())
