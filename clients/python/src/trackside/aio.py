"""The same names as `trackside` has, for programs of `asyncio`: what asks a server is awaited.

Example:
    ```python
    import trackside.aio as trackside


    async def main():
        async with trackside.start_run("train") as run:
            run.log(loss=0.1)  # waits for nothing, and so needs no `await`
        handle = await trackside.get_run(run.run_id)
        await handle.wait()
        async for line in handle.logs():
            print(line)
    ```
"""

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

from trackside.client.async_handle import AsyncRunHandle as RunHandle
from trackside.client.async_handle import get_async_run as get_run
from trackside.client.async_handle import list_async_runs as list_runs
from trackside.client.errors import TracksideError
from trackside.client.in_thread import in_thread
from trackside.session import launch as launching
from trackside.session.ambient import progress, scope, task
from trackside.session.run import Run
from trackside.session.scopes import Scope
from trackside.session.start import current_run, start_run
from trackside.session.tasks import Task

__all__ = [
    "Run",
    "RunHandle",
    "Scope",
    "Task",
    "TracksideError",
    "current_run",
    "get_run",
    "launch",
    "list_runs",
    "progress",
    "scope",
    "start_run",
    "task",
]


Asked = ParamSpec("Asked")
Started = Callable[Asked, Awaitable[RunHandle]]


def _asked_as(_: Callable[Asked, object]) -> Callable[[Started[...]], Started[Asked]]:
    """Return what gives a function the signature of another, so that it is written once."""
    return lambda function: function


@_asked_as(launching.launch)
async def launch(*args: Any, **kwargs: Any) -> RunHandle:  # noqa: ANN401 - as there
    """Start a command as a run, through an agent; takes what `trackside.launch` takes.

    Raises:
        InvalidRequestError: Something of it is wrong.
        ServerUnreachableError: Nobody answers; with a `request_id` it is safe to try again.
    """
    return RunHandle(await in_thread(lambda: launching.launch(*args, **kwargs)))
