"""What a task's message says in the narrow columns, so that filters find what the message says."""

from typing import Any, Final

from trackside_protos.runs.v1.task_pb2 import Task
from trackside_runs.filtering.runs import milliseconds
from trackside_runs.filtering.tasks import duration_ms, latest_attempt, task_search_text

NO_DURATION: Final = -1
"""Stands for the duration of a task that has not ended."""

TASK_FACTS: Final = (
    "name",
    "wait",
    "parent_task_id",
    "scope_path",
    "attempts",
    "cached",
    "exit_code",
    "host",
    "machine_type",
    "create_time_ms",
    "start_time_ms",
    "end_time_ms",
    "duration_ms",
    "search_text",
)
"""The columns of the table `task` that follow from the message, beside its state and process."""


def task_facts(task: Task) -> tuple[Any, ...]:
    """Return the values of `TASK_FACTS`."""
    latest = latest_attempt(task)
    took = duration_ms(task)
    return (
        task.name,
        task.wait,
        task.parent_task_id,
        task.scope_path,
        len(task.attempts),
        int(task.cached),
        latest.exit_code if latest.HasField("exit_code") else None,
        latest.host,
        latest.machine_type,
        milliseconds(task.create_time),
        milliseconds(task.start_time),
        milliseconds(task.end_time),
        NO_DURATION if took is None else took,
        task_search_text(task),
    )


def context_rows(run_id: str, ordinal: int, task: Task) -> list[tuple[str, str, int, str]]:
    """Return the rows of the table `task_context`: run, key, number of the task, value."""
    return [(run_id, key, ordinal, task.context[key]) for key in task.context]
