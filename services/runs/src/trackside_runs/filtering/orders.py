"""The order of a list: `FIELD [desc]`, where a field may be `FIELD.KEY`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from trackside_runs.filtering.errors import OrderError

RUN_ORDERS: Final = ("create_time", "start_time", "end_time", "name", "state", "last", "best")
"""The fields that runs can be ordered by."""

KEYED_ORDERS: Final = frozenset({"last", "best"})
"""Those that are asked for as `FIELD.KEY`."""

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
    key: str = ""
    """Which entry of a keyed field."""


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
    is_descending = words[-1] == "desc"
    named = " ".join(words[:-1] if words[-1] in ("asc", "desc") else words)
    field, _, key = named.partition(".") if named.startswith(_KEYED_STARTS) else (named, "", "")
    if field not in fields:
        there_are = ", ".join(f"{f}.KEY" if f in KEYED_ORDERS else f for f in fields)
        if field.partition(" ")[0] in fields:
            raise OrderError("An order is one field, and perhaps desc.")
        message = f"There is no order by {field[:64]!r}; there are {there_are}."
        raise OrderError(message)
    if (field in KEYED_ORDERS) is not bool(key):
        message = f"Name the {field}, for example {field}.KEY desc."
        raise OrderError(message)
    return Order(field, descending=is_descending, key=_unquoted(key))


_KEYED_STARTS: Final = tuple(f"{field}." for field in sorted(KEYED_ORDERS))


def _unquoted(key: str) -> str:
    is_quoted = len(key) > 1 and key[0] == key[-1] and key[0] in "\"'"
    return key[1:-1] if is_quoted else key
