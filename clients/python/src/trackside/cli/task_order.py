"""The order and choice of tasks that a person asks for; no I/O."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import click
from google.protobuf.timestamp_pb2 import Timestamp

from trackside.cli.times import seconds_of
from trackside_protos.runs.v1.task_pb2 import Task


def _moment(time: Timestamp) -> tuple[int, int]:
    return time.seconds, time.nanos


_KEYS: Final[Mapping[str, Callable[[Task], object]]] = {
    "create_time": lambda task: _moment(task.create_time),
    "start_time": lambda task: _moment(task.start_time),
    "end_time": lambda task: _moment(task.end_time),
    "duration": lambda task: seconds_of(task.elapsed_duration),
    "name": lambda task: task.name or task.task_id,
    "process": lambda task: task.process,
    "state": lambda task: task.state,
    "attempts": lambda task: len(task.attempts),
}

FIELDS: Final = tuple(_KEYS)
"""What tasks can be sorted by."""


def sorted_tasks(tasks: Iterable[Task], order: str) -> list[Task]:
    """Return tasks in the order `FIELD [desc]`; equal ones stay as they come.

    Raises:
        UsageError: There is no such field, or no such direction.
    """
    field, _, direction = order.strip().partition(" ")
    if field not in _KEYS or direction.strip() not in ("", "asc", "desc"):
        message = f"tasks cannot be sorted by {order!r}; fields: {', '.join(FIELDS)}"
        raise click.UsageError(message)
    key: Callable[[Task], object] = _KEYS[field]
    return sorted(tasks, key=key, reverse=direction.strip() == "desc")  # pyright: ignore[reportArgumentType, reportCallIssue]  # of one field all are of one kind


def with_words(tasks: Iterable[Task], words: Sequence[str]) -> Iterator[Task]:
    """Yield the tasks that have every word in their id, name or process, of any case."""
    wanted = [word.casefold() for word in words]
    for task in tasks:
        text = f"{task.task_id}\n{task.name}\n{task.process}".casefold()
        if all(word in text for word in wanted):
            yield task
