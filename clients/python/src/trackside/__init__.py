"""The Python SDK of Trackside: report runs, watch them, and act on them.

Example:
    ```python
    import trackside

    with trackside.start_run("train", params={"lr": 1e-3}) as run:
        for step in range(100):
            run.log(loss=1 / (step + 1), step=step)
    ```

Importing this package is cheap: each name is looked up in its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trackside.client.errors import TracksideError
    from trackside.client.handle import RunHandle, get_run, list_runs
    from trackside.session.ambient import progress, scope, task
    from trackside.session.launch import launch
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

_HOMES = {
    "Run": "trackside.session.run",
    "RunHandle": "trackside.client.handle",
    "Scope": "trackside.session.scopes",
    "Task": "trackside.session.tasks",
    "TracksideError": "trackside.client.errors",
    "current_run": "trackside.session.start",
    "get_run": "trackside.client.handle",
    "launch": "trackside.session.launch",
    "list_runs": "trackside.client.handle",
    "progress": "trackside.session.ambient",
    "scope": "trackside.session.ambient",
    "start_run": "trackside.session.start",
    "task": "trackside.session.ambient",
}


if not TYPE_CHECKING:  # to which a name that is not there would be anything

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        thing = getattr(import_module(_HOMES[name]), name)
        globals()[name] = thing
        return thing


def __dir__() -> list[str]:
    return sorted(__all__)
