"""What a filter may name in a task, and how it is read from the message."""

from collections.abc import Callable, Iterable
from typing import Final

from trackside_protos.runs.v1.task_pb2 import Task, TaskAttempt, TaskState, TaskWait
from trackside_runs.filtering.predicates import Reader, Readers
from trackside_runs.filtering.runs import milliseconds
from trackside_runs.filtering.schema import TRUTHS, Field, Kind, Schema
from trackside_runs.filtering.tree import Value

_TEXT_LENGTH: Final = 512
_NO_ATTEMPT: Final = TaskAttempt()

_STATES: Final = {
    name.removeprefix("TASK_STATE_"): int(number) for name, number in TaskState.items() if number
}
_WAITS: Final = {
    name.removeprefix("TASK_WAIT_"): int(number) for name, number in TaskWait.items() if number
}

TASK_SCHEMA: Final = Schema.of(
    Field("task_id", Kind.TEXT),
    Field("name", Kind.TEXT),
    Field("process", Kind.TEXT),
    Field("state", Kind.CHOICE, _STATES),
    Field("wait", Kind.CHOICE, _WAITS),
    Field("parent_task", Kind.TEXT),
    Field("scope", Kind.TEXT),
    Field("attempts", Kind.NUMBER),
    Field("retried", Kind.CHOICE, TRUTHS),
    Field("cached", Kind.CHOICE, TRUTHS),
    Field("exit_code", Kind.NUMBER),
    Field("host", Kind.TEXT),
    Field("machine_type", Kind.TEXT),
    Field("create_time", Kind.TIME),
    Field("start_time", Kind.TIME),
    Field("end_time", Kind.TIME),
    Field("duration", Kind.DURATION),
    Field("context", Kind.KEYED_TEXT),
)
"""The fields of `ListTasksRequest.filter`."""


def latest_attempt(task: Task) -> TaskAttempt:
    """Return the latest attempt of a task; an empty one if there is none."""
    return task.attempts[-1] if task.attempts else _NO_ATTEMPT


def duration_ms(task: Task) -> int | None:
    """Return how long a task took that has ended; None of any other."""
    start, end = milliseconds(task.start_time), milliseconds(task.end_time)
    return max(0, end - start) if start and end else None


def task_search_text(task: Task) -> str:
    """Return a task's id, names, scope, message and context, a line each, casefolded."""
    lines = [task.task_id, task.name, task.process, task.scope_path, task.message[:_TEXT_LENGTH]]
    lines += [f"{key}={task.context[key][:_TEXT_LENGTH]}" for key in sorted(task.context)]
    return "\n".join(filter(None, lines)).casefold()


def _one(read: Callable[[Task], Value | None]) -> Reader[Task]:
    """Return a reader of a field that is absent where it is empty or None."""

    def values(task: Task, _key: str) -> Iterable[Value]:
        value = read(task)
        return () if value is None or value == "" else (value,)

    return values


def _time(field: str) -> Reader[Task]:
    return _one(lambda task: milliseconds(getattr(task, field)) or None)


def _exit_code(task: Task) -> int | None:
    attempt = latest_attempt(task)
    return attempt.exit_code if attempt.HasField("exit_code") else None


def _context(task: Task, key: str) -> Iterable[Value]:
    return (task.context[key],) if key in task.context else ()


TASK_READERS: Final[Readers[Task]] = Readers(
    fields={
        "task_id": _one(lambda task: task.task_id),
        "name": _one(lambda task: task.name),
        "process": _one(lambda task: task.process),
        "state": _one(lambda task: int(task.state)),
        "wait": _one(lambda task: int(task.wait) or None),
        "parent_task": _one(lambda task: task.parent_task_id),
        "scope": _one(lambda task: task.scope_path),
        "attempts": _one(lambda task: len(task.attempts)),
        "retried": _one(lambda task: int(len(task.attempts) > 1)),
        "cached": _one(lambda task: int(task.cached)),
        "exit_code": _one(_exit_code),
        "host": _one(lambda task: latest_attempt(task).host),
        "machine_type": _one(lambda task: latest_attempt(task).machine_type),
        "create_time": _time("create_time"),
        "start_time": _time("start_time"),
        "end_time": _time("end_time"),
        "duration": _one(duration_ms),
        "context": _context,
    },
    search_text=task_search_text,
)
"""How the same fields are read from a task."""
