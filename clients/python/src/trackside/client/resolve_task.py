"""Finds the task of a run that people mean: by id, by the beginning of an id, or by name."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from trackside.client.connection import Connection
from trackside.client.errors import AmbiguousNameError, NotFoundError
from trackside.client.listing import get_task, list_tasks
from trackside.client.states import task_state_word
from trackside_protos.runs.v1.task_pb2 import Task

_MOST_LOOKED_AT: Final = 100_000


def resolve_task(connection: Connection, run_id: str, text: str) -> Task:
    """Return the task of that id, else the only one of that name, or whose id begins so.

    Raises:
        NotFoundError: There is none.
        AmbiguousNameError: There are several.
    """
    try:
        return get_task(connection, run_id, text)
    except NotFoundError as error:
        tasks = islice(list_tasks(connection, run_id), _MOST_LOOKED_AT)
        found = [task for task in tasks if task.name == text or task.task_id.startswith(text)]
        fitting = [task for task in found if task.name == text] or found
        if not fitting:
            hint = f"`trackside get tasks {run_id}` lists its tasks"
            raise NotFoundError(error.message, error.facts, hint=hint) from error
        if len(fitting) > 1:
            raise _ambiguous(text, fitting) from error
    return get_task(connection, run_id, fitting[0].task_id)


def _ambiguous(text: str, tasks: Sequence[Task]) -> AmbiguousNameError:
    told = {task.task_id: f"{task.name}, {task_state_word(task.state)}" for task in tasks}
    return AmbiguousNameError(f"{text!r} fits {len(tasks)} tasks", told)
