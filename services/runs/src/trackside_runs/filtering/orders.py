"""The order of a list: `FIELD [desc]`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from trackside_runs.filtering.errors import OrderError

RUN_ORDERS: Final = ("create_time", "start_time", "end_time", "name", "state")
"""The fields that runs can be ordered by."""

TASK_ORDERS: Final = (
    "create_time",
    "start_time",
    "end_time",
    "duration",
    "name",
    "process",
    "state",
    "attempts",
)
"""The fields that tasks can be ordered by."""

PROCESS_ORDERS: Final = (
    "process",
    "create_time",
    "pending",
    "submitted",
    "running",
    "succeeded",
    "failed",
    "aborted",
    "cached",
    "retried",
    "total",
)
"""The fields that processes can be ordered by."""


@dataclass(frozen=True, slots=True)
class Order:
    """A field and a direction."""

    field: str
    descending: bool = False


AS_CREATED: Final = Order("create_time")
NEWEST_FIRST: Final = Order("create_time", descending=True)


def parse_order(text: str, fields: Collection[str], *, default: Order) -> Order:
    """Return the order that a request asks for; the default if it asks for none.

    Raises:
        OrderError: It is not of the form `FIELD [asc|desc]`, or there is no such field.
    """
    words = text.split()
    if not words:
        return default
    field, *direction = words
    if field not in fields:
        message = f"There is no order by {field[:64]!r}; there are {', '.join(fields)}."
        raise OrderError(message)
    if direction not in ([], ["asc"], ["desc"]):
        raise OrderError("An order is one field, and perhaps desc.")
    return Order(field, descending=direction == ["desc"])
