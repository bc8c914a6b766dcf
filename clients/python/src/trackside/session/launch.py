"""Starts work through an agent: `launch`."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from trackside.client.connection import Connection, default_connection
from trackside.client.handle import RunHandle
from trackside.client.orders import id_of_order, work_directory_of
from trackside.location import is_on_this_machine
from trackside.session.values import printable, texts_of, value_of
from trackside_protos.runs.v1.run_pb2 import Launch, Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

_PASSED_ON: Final = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")
"""What makes `python` and the like mean what they mean here."""


def launch(  # noqa: PLR0913 - what people may say of a run, all by name
    command: str | Sequence[str],
    *,
    name: str = "",
    project: str = "",
    params: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    labels: Mapping[str, Any] | None = None,
    notes: str = "",
    description: str = "",
    termination_protection: bool = False,
    parent: str = "",
    runner: str = "local",
    work_directory: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    time_limit: float | timedelta | None = None,
    memory_limit_bytes: int | None = None,
    machine_type: str = "",
    request_id: str = "",
    run_id: str = "",
    connection: Connection | None = None,
) -> RunHandle:
    """Start a command as a run, through an agent, and return a handle to it at once.

    When the server is on this machine, the command starts in the present folder and with the
    PATH, VIRTUAL_ENV, CONDA_PREFIX and PYTHONPATH of this program, unless it is said otherwise.

    Args:
        command: The program and its arguments; a text is split as a shell does, but by none.
            `{key}` in an argument stands for the parameter of that name.
        name: What people call it; by default made from the command.
        project: The project it belongs to; by default `default`.
        params: What varies between runs of one kind.
        tags: Free words.
        labels: Free pairs.
        notes: Free text in Markdown.
        description: One line for people.
        termination_protection: Whether the run stays IDLE when its work has ended.
        parent: The id of the run that this one is a child of.
        runner: Which runner launches it.
        work_directory: Where to start.
        environment: Variables to add.
        time_limit: After so many seconds it is ended, FAILED with reason TIME_LIMIT.
        memory_limit_bytes: With more it is ended, FAILED with reason OUT_OF_MEMORY.
        machine_type: What to run on, where the engine has a choice.
        request_id: A name for this order, by which it may be given again: that starts nothing
            twice and returns the same run. What `trackside run --request-id` takes.
        run_id: Its id, 16 characters, where it is to be a certain one; as safe to give again.
        connection: To which server; by default where the environment points.

    Raises:
        InvalidRequestError: Something of it is wrong.
        ServerUnreachableError: Nobody answers; with a `request_id` it is safe to try again.

    Example:
        ```python
        run = trackside.launch("python3 train.py --rate {rate}", params={"rate": 0.1})
        with run.sync_context():
            run.wait()
        print(run.outputs())
        ```
    """
    connection = connection or default_connection()
    started = Launch(
        command=shlex.split(command) if isinstance(command, str) else list(command),
        work_directory=os.fspath(work_directory) if work_directory is not None else "",
        machine_type=machine_type,
    )
    if is_on_this_machine(connection.location.server):
        started.work_directory = work_directory_of(started.work_directory)
        started.environment.update({k: os.environ[k] for k in _PASSED_ON if k in os.environ})
    started.environment.update(environment or {})
    if time_limit is not None:
        limit = time_limit if isinstance(time_limit, timedelta) else timedelta(seconds=time_limit)
        started.time_limit_duration.FromTimedelta(limit)
    if memory_limit_bytes is not None:
        started.memory_limit_bytes = memory_limit_bytes
    run = Run(
        run_id=run_id or id_of_order(connection, request_id),
        name=printable(name),
        project=project,
        tags=[tags] if isinstance(tags, str) else [printable(str(tag)) for tag in tags],
        labels=texts_of(labels),
        notes=printable(notes),
        description=printable(description),
        termination_protection=termination_protection,
        parent_run_id=parent,
        runner=runner,
        launch=started,
    )
    for key, value in (params or {}).items():
        run.parameters[printable(str(key))].CopyFrom(value_of(value))
    request = CreateRunRequest(run=run)
    return RunHandle(connection.call(connection.runs.CreateRun, request).run, connection)
