"""The filters that this package itself writes, in the language of `ListRunsRequest.filter`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

ACTIVE_STATES: Final = ("PENDING", "INITIALIZING", "RUNNING", "STOPPING", "IDLE")
"""The states of runs that a user may still have to look after."""

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "*": "\\*", "\n": "\\n", "\t": "\\t"})


def quoted(text: str) -> str:
    """Return `text` as one string of a filter, its stars no wildcards."""
    return f'"{text.translate(_ESCAPES)}"'


def equals(field: str, value: str) -> str:
    """Return a filter for runs whose `field` is `value`; empty for an empty value."""
    return f"{field} = {quoted(value)}" if value else ""


def in_states(states: Iterable[str]) -> str:
    """Return a filter for runs in one of `states`; empty for none."""
    return any_of(f"state = {quoted(state.upper())}" for state in states)


def recent(hours: int) -> str:
    """Return a filter for runs that are active or ended in the last hours."""
    return any_of([in_states(ACTIVE_STATES), f"end_time > -{hours}h"])


def not_before(field: str, moment: datetime | None) -> str:
    """Return a filter for runs whose time `field` is not before `moment`; empty for none."""
    return f"{field} >= {quoted(_rfc3339(moment))}" if moment else ""


def before(field: str, moment: datetime | None) -> str:
    """Return a filter for runs whose time `field` is before `moment`; empty for none."""
    return f"{field} < {quoted(_rfc3339(moment))}" if moment else ""


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def children_of(run_id: str) -> str:
    """Return a filter for the children of a parent."""
    return equals("parent", run_id)


def without_parent() -> str:
    """Return a filter for what people started themselves: no children of a parent."""
    return "NOT parent:*"


def named(text: str, prefix: str) -> str:
    """Return a filter for runs called `text`, or whose id begins with `prefix` if there is one."""
    return any_of([equals("name", text), f"run_id = {prefix}*" if prefix else ""])


def beginning(text: str) -> str:
    """Return a filter for runs whose id or name begins with `text`; empty for no text."""
    if not text:
        return ""
    pattern = f'{quoted(text)[:-1]}*"'
    return any_of([f"run_id = {pattern}", f"name = {pattern}"])


def with_words(text: str) -> str:
    """Return a filter for what has every word of `text` somewhere; empty for no words."""
    return all_of(map(quoted, text.split()))


def any_of(filters: Iterable[str]) -> str:
    """Return a filter for runs that match at least one of `filters`; empty ones are left out."""
    alternatives = [text for text in filters if text]
    return f"({' OR '.join(alternatives)})" if len(alternatives) > 1 else "".join(alternatives)


def all_of(filters: Iterable[str]) -> str:
    """Return a filter for runs that match all of `filters`; empty ones are left out."""
    return " AND ".join(text for text in filters if text)
